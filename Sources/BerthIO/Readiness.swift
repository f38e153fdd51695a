internal import BerthBase
package import BerthSystem
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Waits for the next readiness of a descriptor that somebody else reads: a pidfd, a listening or connecting socket.
package final class Readiness: EventHandler {
    private struct State {
        var events: EventLoop.Events = []
        var token: EventLoop.Token?
        var isCancelled = false
        var waiter: CheckedContinuation<Void, any Error>?
    }
    private let state = Mutex(State())
    private let loop: EventLoop
    private let descriptor: Int32

    /// Watches the descriptor, which must stay open until `end`.
    package init(of descriptor: Int32, on loop: EventLoop) throws {
        self.loop = loop
        self.descriptor = descriptor
        do {
            let token = try loop.watch(descriptor, self)
            state.withLock { $0.token = token }
        } catch { throw BerthError(error, "watch descriptor \(descriptor)") }
    }

    package func ready(_ events: EventLoop.Events) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            state.events.formUnion(events)
            guard state.waiter != nil, !state.events.isDisjoint(with: Self.interesting) else { return nil }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
    private static let interesting: EventLoop.Events = [.readable, .writable, .error, .hangup]

    /// Waits until readiness came since the last call; one task at a time.
    ///
    /// - Throws: `cancelled` when the task is or `end` was called.
    package func next() async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation {
                (continuation: CheckedContinuation<Void, any Error>) in
                let answer = state.withLock { state -> Result<Void, any Error>? in
                    if state.isCancelled { return .failure(CancellationError()) }
                    if state.waiter != nil {
                        return .failure(
                            BerthError(.failedPrecondition, "wait for readiness: another wait is under way"))
                    }
                    if !state.events.isDisjoint(with: Self.interesting) {
                        state.events = []
                        return .success(())
                    }
                    state.waiter = continuation
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
            state.withLock { $0.events = [] }
        } onCancel: {
            cancel()
        }
    }

    /// Ends the watch; who waits gets `cancelled`. To be called before the descriptor is closed.
    package func end() {
        if let token = state.withLock({ state in
            defer { state.token = nil }
            return state.token
        }) {
            loop.forget(token, descriptor)
        }
        cancel()
    }

    private func cancel() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            state.isCancelled = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(throwing: CancellationError())
    }
}

extension EventLoop {
    /// Waits until a process has ended; reaping stays the caller's. The pidfd must stay open meanwhile.
    package func exited(_ pidfd: Int32) async throws {
        let readiness = try Readiness(of: pidfd, on: self)
        defer { readiness.end() }
        while try attempting("poll a pidfd", { () throws(Errno) in try !PidFD.ended(pidfd, within: 0) }) {
            try await readiness.next()
        }
    }

    /// Connects to a stream socket.
    ///
    /// - Throws: `notFound` without a socket file, `unavailable` when nobody listens there, `deadlineExceeded` when
    ///   the listener takes nobody for `patience`.
    package func connect(_ address: SocketAddress, patience: Duration = .seconds(10)) async throws -> Stream {
        try Stream(try await connectDescriptor(address, patience: patience), on: self)
    }

    /// As `connect`, for those who read and write by themselves.
    package func connectDescriptor(_ address: SocketAddress, patience: Duration = .seconds(10)) async throws
        -> OwnedFD
    {
        let attempt = "connect to '\(address)'"
        let deadline = ContinuousClock.now + patience
        while true {
            let socket = try attempting(attempt) { () throws(Errno) in try address.makeSocket() }
            do throws(Errno) {
                try address.connect(socket.rawValue)
                return socket
            } catch {
                switch error {
                case .nowInProgress:
                    try await finishConnecting(socket.rawValue, attempt)
                    return socket
                // A unix listener whose backlog is full: connect(2) gives no event for the room in it.
                case .resourceTemporarilyUnavailable where ContinuousClock.now < deadline:
                    try await Task.sleep(for: .milliseconds(5))
                case .resourceTemporarilyUnavailable:
                    throw BerthError(
                        .deadlineExceeded, "\(attempt): the listener takes nobody for \(patience)")
                default: throw BerthError(error, attempt)
                }
            }
        }
    }

    private func finishConnecting(_ socket: Int32, _ attempt: String) async throws {
        let readiness = try Readiness(of: socket, on: self)
        defer { readiness.end() }
        try await readiness.next()
        var error: Int32 = 0
        var size = socklen_t(4)
        // SAFETY: the option is a number of the size given.
        unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size)
        if error != 0 { throw BerthError(Errno(rawValue: error), attempt) }
    }
}
