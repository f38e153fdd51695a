internal import BerthBase
internal import BerthSystem
internal import Synchronization
internal import SystemPackage

/// Runs what may block (launches, hooks, mounts, the end of a cgroup) on threads of their own, so that one container's
/// dead disk stops no call about another.
final class Offload {
    /// The most pieces of work at a time; what is beyond waits its turn.
    static let maxThreads = 16
    /// The deepest frames decode a specification, which recurses.
    static let stackBytes = 524_288

    private typealias Done = (any Sendable) -> Void

    private struct Piece {
        let body: @Sendable () -> any Sendable
        let done: Done
    }

    private let loop: EventLoop
    private let wake: WakeUp
    private let results = Results()
    private var running: [UInt64: Done] = [:]
    private var waiting: [Piece] = []
    private var last: UInt64 = 0
    /// Called when the number of running pieces changes by one.
    var onCount: (Int) -> Void = { _ in }

    private final class Results: Sendable {
        let list = Mutex<[(UInt64, any Sendable)]>([])
    }

    init(loop: EventLoop) throws(Errno) {
        self.loop = loop
        wake = try WakeUp()
        try loop.watch(wake.descriptor.rawValue, .input) { [unowned self] _ in collect() }
    }

    /// Runs `body` elsewhere, then `done` with its result here.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws(BerthError) -> Value,
        then done: @escaping (Result<Value, BerthError>) -> Void
    ) {
        let piece = Piece(
            body: {
                do throws(BerthError) { return Result<Value, BerthError>.success(try body()) } catch {
                    return Result<Value, BerthError>.failure(error)
                }
            },
            done: { result in if let result = result as? Result<Value, BerthError> { done(result) } })
        if running.count < Offload.maxThreads { start(piece) } else { waiting.append(piece) }
    }

    private func start(_ piece: Piece) {
        last += 1
        let number = last, results = results, body = piece.body
        running[number] = piece.done
        onCount(1)
        let descriptor = wake.descriptor.rawValue
        do throws(Errno) {
            try SmallThread.start(stack: Offload.stackBytes) {
                let result = body()
                results.list.withLock { $0.append((number, result)) }
                WakeUp.call(descriptor)
            }
        } catch {
            // No thread to be had: better late than never.
            results.list.withLock { $0.append((number, body())) }
            wake.call()
        }
    }

    private func collect() {
        wake.take()
        let finished = results.list.withLock { list in
            defer { list = [] }
            return list
        }
        for (number, result) in finished {
            running.removeValue(forKey: number)?(result)
            onCount(-1)
            if !waiting.isEmpty { start(waiting.removeFirst()) }
        }
    }
}
