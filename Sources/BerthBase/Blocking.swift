internal import Dispatch
internal import Synchronization

/// Runs calls that block on threads of their own lane, never on the cooperative pool.
///
/// Each lane has a limit on its threads. The `foreign` lane is for paths and programs that belong to others
/// (volumes, umount): a call that outlives its deadline is abandoned with its thread, counted, and replaced.
public struct Blocking: Sendable {
    /// One lane: a name, a limit on threads, and how many of them were abandoned.
    public final class Lane: Sendable {
        /// The name, for logs and metrics.
        public let name: String
        /// The most calls that run at once; more wait.
        public let width: Int
        private struct State {
            var running = 0
            var stuck = 0
            var queue: [@Sendable () -> Void] = []
        }
        private let state = Mutex(State())

        /// Makes a lane.
        public init(_ name: String, width: Int) {
            self.name = name
            self.width = width
        }

        /// The number of calls whose deadline passed and whose thread has not come back.
        public var stuck: Int { state.withLock { $0.stuck } }

        fileprivate func submit(_ job: @escaping @Sendable () -> Void) {
            let start = state.withLock { state -> Bool in
                guard state.running - state.stuck < width else {
                    state.queue.append(job)
                    return false
                }
                state.running += 1
                return true
            }
            if start { spawn(job) }
        }

        private func spawn(_ job: @escaping @Sendable () -> Void) {
            // A serial queue of its own has a thread at once (up to 255 of them). The global queue has one thread a
            // core and looks once a second whether they are blocked: two calls that hang would hold up all others.
            DispatchQueue(label: name).async { self.work(job) }
        }

        private func work(_ first: @escaping @Sendable () -> Void) {
            var job: (@Sendable () -> Void)? = first
            while let current = job {
                current()
                job = state.withLock { state in
                    guard state.running - state.stuck <= width, !state.queue.isEmpty else {
                        state.running -= 1
                        return nil
                    }
                    return state.queue.removeFirst()
                }
            }
        }

        fileprivate func abandonOne() {
            let next = state.withLock { state -> (@Sendable () -> Void)? in
                state.stuck += 1
                guard !state.queue.isEmpty else { return nil }
                state.running += 1
                return state.queue.removeFirst()
            }
            if let next { spawn(next) }
        }

        fileprivate func comeBack() { state.withLock { $0.stuck -= 1 } }
    }

    /// Files and directories under the daemon's own root and state.
    public static let ownDisk = Lane("own-disk", width: 16)
    /// Paths and programs of others, which may hang.
    public static let foreign = Lane("foreign", width: 32)

    /// Runs `body` on a thread of the lane and waits for it, however long it takes.
    public static func run<T: Sendable>(
        on lane: Lane = ownDisk, _ body: @escaping @Sendable () throws -> T
    ) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            lane.submit { continuation.resume(with: Result { try body() }) }
        }
    }

    /// Runs `body` on a thread of the lane; after `deadline` the caller gets `deadlineExceeded` and the thread is
    /// abandoned: whatever the body still does must be harmless.
    public static func run<T: Sendable>(
        on lane: Lane, _ what: String, deadline: Duration, _ body: @escaping @Sendable () throws -> T
    ) async throws -> T {
        let phase = Shared<Phase>(.queued)
        return try await withCheckedThrowingContinuation { continuation in
            lane.submit {
                let mayRun = phase.withLock { phase -> Bool in
                    guard phase == .queued else { return false }
                    phase = .running
                    return true
                }
                guard mayRun else { return }
                let result = Result { try body() }
                let answer = phase.withLock { phase -> Bool in
                    defer { phase = .answered }
                    return phase == .running
                }
                if answer { continuation.resume(with: result) } else { lane.comeBack() }
            }
            let seconds = Double(deadline.components.seconds) + Double(deadline.components.attoseconds) / 1e18
            DispatchQueue.global().asyncAfter(deadline: .now() + seconds) {
                let before = phase.withLock { phase -> Phase in
                    let before = phase
                    if before == .queued || before == .running { phase = .abandoned }
                    return before
                }
                guard before == .queued || before == .running else { return }
                if before == .running { lane.abandonOne() }
                continuation.resume(
                    throwing: BerthError(.deadlineExceeded, "\(what): no answer within \(deadline)"))
            }
        }
    }
}

/// Where a call with a deadline is.
private enum Phase: Sendable { case queued, running, answered, abandoned }

/// A lock around one value that closures can share.
public final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>
    /// Makes the box around its first value.
    public init(_ value: Value) { self.value = Mutex(value) }
    /// Reads or changes the value; `body` must not block or await.
    public func withLock<T: Sendable>(_ body: (inout Value) throws -> T) rethrows -> T {
        try value.withLock { value in try body(&value) }
    }
}
