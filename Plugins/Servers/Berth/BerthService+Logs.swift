internal import BerthAPI
internal import BerthBase
internal import BerthServices
internal import FoundationEssentials

extension BerthService {
    /// How long a follower that found nothing new waits before it looks again, at first and at most.
    static let logPause = (first: Duration.milliseconds(10), most: Duration.milliseconds(200))

    /// Sends a container's log, and with `follow` what comes until it has exited.
    func logs(
        _ request: Berth_V1_LogsRequest, _ send: @escaping @Sendable (Berth_V1_LogChunk) async throws -> Void
    ) async throws {
        let pods = try self.pods
        let info = try await find(request.id)
        guard !info.logPath.isEmpty else {
            throw BerthError(.failedPrecondition, "logs of '\(request.id)': its output was not kept")
        }
        try await runs.watched(info.id) {
            let file = LogFile(path: info.logPath)
            let lines = request.tail < 0 ? nil : Int(clamping: request.tail)
            try await Blocking.run { try file.start(lastLines: lines) }
            let end = Shared(!request.follow || info.state == .exited)
            try await withThrowingTaskGroup(of: Void.self) { group in
                if request.follow, info.state != .exited {
                    group.addTask {
                        // Removed meanwhile, or lost: what was written is still read to its end.
                        _ = try? await pods.waitContainer(info.id, in: info.namespace)
                        end.withLock { $0 = true }
                    }
                }
                try await copy(file, LogPrinter(timestamps: request.timestamps), until: end, send)
                group.cancelAll()
            }
        }
    }

    private func copy(
        _ file: LogFile, _ printer: LogPrinter, until end: Shared<Bool>,
        _ send: @Sendable (Berth_V1_LogChunk) async throws -> Void
    ) async throws {
        var parser = LogParser()
        var printer = printer
        var pause = Self.logPause.first
        while true {
            // Before the read: what is written until the container's end is in the file by then.
            let isEnd = end.withLock { $0 }
            let bytes = try await Blocking.run { try file.read() }
            for piece in printer.pieces(of: parser.feed(bytes)) {
                var chunk = Berth_V1_LogChunk()
                chunk.stream = piece.isError ? "stderr" : "stdout"
                chunk.data = Data(piece.bytes)
                try await send(chunk)
            }
            if !bytes.isEmpty {
                pause = Self.logPause.first
                continue
            }
            if isEnd { return }
            try await Task.sleep(for: pause)
            pause = min(pause * 2, Self.logPause.most)
        }
    }
}
