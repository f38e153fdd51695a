internal import ArgumentParser
internal import BerthAPI
internal import BerthBase
internal import Dispatch
internal import Glibc
internal import SwiftProtobuf

/// Follows a container that was just started: its output to our own streams, its exit status to the caller.
struct Foreground {
    let id: String
    let daemon: Daemon
    /// Whether it is removed once it has exited.
    let removes: Bool

    /// Copies the log until the container has exited; its exit code. The first SIGINT or SIGTERM stops the container,
    /// a second one kills it.
    func follow() async throws -> Int32 {
        let signals = Signals(SIGINT, SIGTERM)
        let stream = signals.stream
        let stopper = Task { await stop(on: stream) }
        defer { withExtendedLifetime(signals) { stopper.cancel() } }
        // Both at once: a container that is removed when it has exited stays until both have their answer.
        async let status = wait()
        try await copyLog()
        let code = try await status
        if removes { try await remove() }
        return code
    }

    private func wait() async throws -> Int32 {
        var request = Berth_V1_WaitRequest()
        request.id = id
        let ended: Berth_V1_WaitResponse = try await daemon.call("Wait", request)
        return ended.exitCode
    }

    private func copyLog() async throws {
        var request = Berth_V1_LogsRequest()
        request.id = id
        request.follow = true
        request.tail = -1
        try await daemon.stream("Logs", request) { (chunk: Berth_V1_LogChunk) in
            write(Array(chunk.data), to: chunk.stream == "stderr" ? 2 : 1)
        }
    }

    /// The daemon removes it by itself; this waits for it. It may be done already.
    private func remove() async throws {
        var request = Berth_V1_RemoveRequest()
        request.id = id
        request.force = true
        do { let _: Berth_V1_RemoveResponse = try await daemon.call("Remove", request) } catch let error as BerthError
            where error.code == .notFound
        {}
    }

    private func stop(on signals: AsyncStream<Int32>) async {
        var timeout: Int64 = 10
        for await _ in signals {
            let seconds = timeout
            timeout = 0
            // A task of its own: the next signal must be seen while this one's stop waits.
            Task {
                var request = Berth_V1_StopRequest()
                request.id = id
                request.timeout = Google_Protobuf_Duration(seconds: seconds)
                do { let _: Berth_V1_StopResponse = try await daemon.call("Stop", request) } catch {
                    complain("berth: stop '\(id.prefix(12))': \(error)")
                }
            }
        }
    }
}

/// Signals as a stream, instead of what they would do.
final class Signals {
    let stream: AsyncStream<Int32>
    private let sources: [any DispatchSourceSignal]

    init(_ numbers: Int32...) {
        let (stream, continuation) = AsyncStream<Int32>.makeStream(bufferingPolicy: .bufferingNewest(4))
        self.stream = stream
        sources = numbers.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { continuation.yield(number) }
            source.resume()
            return source
        }
    }

    deinit { for source in sources { source.cancel() } }
}

/// - Throws: a validation error that names the flag.
func refuseTerminal(interactive: Bool, tty: Bool) throws {
    guard interactive || tty else { return }
    let flag = interactive && tty ? "-it" : interactive ? "-i" : "-t"
    throw ValidationError(
        "\(flag) is not supported yet: no terminal or input can be attached; leave it out, or use 'exec' for commands"
    )
}
