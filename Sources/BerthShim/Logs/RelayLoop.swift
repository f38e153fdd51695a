internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The relay's own thread: reads what processes write and puts it where it belongs.
final class RelayLoop {
    /// The most bytes one read takes: what a pipe holds by default.
    static let readBytes = 65536
    /// The most bytes a flush copies of one stream: far more than a pipe holds, but with an end.
    static let maxFlushBytes = 1 << 20

    private let loop: EventLoop
    private let notify: (RelayNotice) -> Void
    private var jobs: [RelayID: RunningJob] = [:]

    init(loop: EventLoop, notify: @escaping (RelayNotice) -> Void) {
        self.loop = loop
        self.notify = notify
    }

    /// Does what the control thread asks for.
    func obey(_ command: RelayCommand) {
        switch command {
        case .add(let id, let job): add(id, job)
        case .reopen(let id, let token): notify(.done(token: token, reopen(id)))
        case .flush(let id, let token):
            jobs[id]?.outputs.forEach(flush)
            notify(.done(token: token, nil))
        case .closeInput(let id):
            guard let job = jobs[id] else { return }
            job.streams.filter { $0.isInput }.forEach(close)
            finishIfEnded(job)
        case .end(let id): end(id)
        }
    }

    private func add(_ id: RelayID, _ job: RelayJob) {
        let running = RunningJob(id, job)
        jobs[id] = running
        for stream in running.streams {
            do {
                try LocalSocket.setNonblocking(stream.source)
                try loop.watch(stream.source, .input) { [unowned self, unowned stream] _ in readable(stream) }
            } catch {
                close(stream)
            }
        }
        finishIfEnded(running)
    }

    private func reopen(_ id: RelayID) -> BerthError? {
        guard let job = jobs[id] else { return BerthError(.notFound, "reopen the log: its process has ended") }
        return job.reopen()
    }

    // MARK: Copying

    private func readable(_ stream: RelayStream) {
        let more = copy(stream)
        stream.job.switchLogs(after: more)
        if stream.source < 0 { finishIfEnded(stream.job) }
    }

    /// Reads once and writes; the number of bytes, 0 if there was nothing.
    private func copy(_ stream: RelayStream) -> Int {
        guard stream.source >= 0, stream.waiting.isEmpty else { return 0 }
        let bytes: [UInt8]
        do {
            guard let some = try LocalSocket.receive(stream.source, limit: RelayLoop.readBytes) else { return 0 }
            bytes = some
        } catch {
            // A terminal's master says EIO when the last process with the terminal is gone.
            close(stream)
            return 0
        }
        if bytes.isEmpty {
            close(stream)
            return 0
        }
        write(bytes, of: stream)
        return bytes.count
    }

    private func write(_ bytes: [UInt8], of stream: RelayStream) {
        switch stream.sink {
        case .log: stream.job.append(bytes[...], of: stream)
        case .file(let file): _ = try? Files.write(bytes, to: file)
        case .pipe(let sink):
            stream.waiting = bytes[...]
            push(stream, to: sink)
        }
    }

    /// Writes what waits; while the sink is full, the source is not read.
    private func push(_ stream: RelayStream, to sink: Int32) {
        while !stream.waiting.isEmpty {
            let count = stream.waiting.withUnsafeBytes { Glibc.write(sink, $0.baseAddress, $0.count) }
            if count >= 0 {
                stream.waiting = stream.waiting.dropFirst(count)
            } else if errno == EAGAIN {
                return stop(stream, until: sink)
            } else if errno != EINTR {
                stream.waiting = []
                return close(stream)
            }
        }
        stream.waiting = []
        resume(stream, sink)
        if stream.isInput, stream.source < 0 { closeSink(stream) }
    }

    private func stop(_ stream: RelayStream, until sink: Int32) {
        guard !stream.isBlocked else { return }
        stream.isBlocked = true
        if stream.source >= 0 { loop.change(stream.source, []) }
        try? loop.watch(sink, .output) { [unowned self, unowned stream] _ in
            push(stream, to: sink)
            if stream.source < 0 { finishIfEnded(stream.job) }
        }
    }

    private func resume(_ stream: RelayStream, _ sink: Int32) {
        guard stream.isBlocked else { return }
        stream.isBlocked = false
        loop.forget(sink)
        if stream.source >= 0 { loop.change(stream.source, .input) }
    }

    // MARK: Ends

    private func flush(_ stream: RelayStream) {
        var total = 0
        while total < RelayLoop.maxFlushBytes {
            let count = copy(stream)
            if count == 0 { break }
            total += count
        }
    }

    /// The source has come to its end; what waits for the sink still goes there.
    private func close(_ stream: RelayStream) {
        guard stream.source >= 0 else { return }
        loop.forget(stream.source)
        Glibc.close(stream.source)
        stream.source = -1
        stream.job.finish(stream)
        if stream.isInput, stream.waiting.isEmpty { closeSink(stream) }
    }

    private func closeSink(_ stream: RelayStream) {
        guard let sink = stream.sinkDescriptor else { return }
        if stream.isBlocked { loop.forget(sink) }
        Glibc.close(sink)
        stream.sinkDescriptor = nil
    }

    private func finishIfEnded(_ job: RunningJob) {
        // A job of an input alone lasts as long as that.
        let deciding = job.outputs.isEmpty ? job.streams : job.outputs
        guard jobs[job.id] != nil, deciding.allSatisfy({ $0.source < 0 && $0.waiting.isEmpty }) else { return }
        remove(job)
        notify(.ended(job.id))
    }

    private func end(_ id: RelayID) {
        guard let job = jobs[id] else { return notify(.ended(id)) }
        job.outputs.forEach(flush)
        remove(job)
        notify(.ended(id))
    }

    private func remove(_ job: RunningJob) {
        for stream in job.streams {
            close(stream)
            closeSink(stream)
        }
        jobs[job.id] = nil
    }
}
