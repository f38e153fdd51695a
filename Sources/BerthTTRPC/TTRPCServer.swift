internal import BerthBase
package import BerthIO
internal import BerthShimAPI
internal import BerthSystem
internal import Synchronization

/// Serves methods over ttrpc on a unix socket.
package final class TTRPCServer: Sendable {
    /// Connections at a time; the next waits in the kernel's backlog.
    package static let maxConnections = 4096
    /// Calls under way on one connection; more are refused.
    package static let maxInFlight = 128

    /// Answers a call: payload in, payload out. Its task is cancelled at the caller's deadline and when the connection
    /// ends.
    package typealias Handler = @Sendable ([UInt8]) async throws -> [UInt8]

    private let listener: Listener
    private let loop: EventLoop
    private let methods: [String: Handler]
    private let sessions = Shared<[UInt64: ServerSession]>([:])

    /// Listens; calls are answered once `run` does.
    ///
    /// - Parameter methods: by `service/method`.
    /// - Throws: `alreadyExists` when somebody listens there.
    package init(at path: String, on loop: EventLoop, methods: [String: Handler]) throws {
        listener = try Listener(.unix(path), mode: 0o600, on: loop)
        self.loop = loop
        self.methods = methods
    }

    /// Accepts until the task is cancelled or `close` is called.
    package func run() async throws {
        var number: UInt64 = 0
        while !Task.isCancelled {
            guard sessions.withLock({ $0.count < Self.maxConnections }) else {
                try await Task.sleep(for: .milliseconds(50))
                continue
            }
            do {
                let socket = try await listener.acceptDescriptor()
                number += 1
                let (key, sessions) = (number, sessions)
                let session = ServerSession(methods: methods, loop: loop) {
                    sessions.withLock { _ = $0.removeValue(forKey: key) }
                }
                sessions.withLock { $0[key] = session }
                // One that cannot be watched is closed; the others go on.
                do { try session.start(socket) } catch { session.close() }
            } catch let error as BerthError where error.code == .resourceExhausted {
                // No descriptor left: others give theirs back.
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    /// Stops listening and ends the connections.
    package func close() {
        listener.close()
        let all = sessions.withLock { sessions in
            defer { sessions = [:] }
            return Array(sessions.values)
        }
        for session in all { session.close() }
    }
}

/// One connection of a server: its calls under way.
final class ServerSession: Sendable {
    private struct State {
        var connection: Connection?
        var calls: [UInt32: Task<Void, Never>?] = [:]
        var lastStream: UInt32 = 0
        var isClosed = false
    }
    private let state = Shared(State())
    private let methods: [String: TTRPCServer.Handler]
    private let loop: EventLoop
    private let onEnd: @Sendable () -> Void

    init(methods: [String: TTRPCServer.Handler], loop: EventLoop, onEnd: @escaping @Sendable () -> Void) {
        self.methods = methods
        self.loop = loop
        self.onEnd = onEnd
    }

    func start(_ socket: consuming OwnedFD) throws {
        let connection = Connection(
            socket, to: "a ttrpc client", on: loop, onItem: { [weak self] in self?.take($0) },
            onEnd: { [weak self] _ in self?.close() })
        let isLate = state.withLock { state -> Bool in
            state.connection = connection
            return state.isClosed
        }
        if isLate { return connection.close() }
        try connection.start()
    }

    func close() {
        let (connection, calls) = state.withLock { state -> (Connection?, [Task<Void, Never>]) in
            state.isClosed = true
            defer { (state.connection, state.calls) = (nil, [:]) }
            return (state.connection, state.calls.values.compactMap { $0 })
        }
        for call in calls { call.cancel() }
        connection?.close()
        onEnd()
    }

    private func take(_ item: FrameDecoder.Item) {
        switch item {
        case .frame(let frame) where frame.kind == .request: begin(frame)
        case .oversized(let stream, let length):
            let error = BerthError(
                .resourceExhausted, "a message of \(length) bytes; \(Frame.maxLength) is the most")
            answer(stream, TTRPCResponse(error))
        case .frame(let frame) where frame.flags & Frame.noData == 0 && frame.kind == .data:
            answer(frame.stream, TTRPCResponse(BerthError(.unimplemented, "this server has no streaming methods")))
        case .frame, .unknown: break
        }
    }

    private func begin(_ frame: Frame) {
        do {
            let isOrdered = state.withLock { state -> Bool in
                guard frame.stream % 2 == 1, frame.stream > state.lastStream else { return false }
                state.lastStream = frame.stream
                return true
            }
            guard isOrdered else {
                throw BerthError(.invalidArgument, "stream ID \(frame.stream) is even, or not above the last one")
            }
            let request = try TTRPCRequest(decoding: frame.data)
            guard let handler = methods["\(request.service)/\(request.method)"] else {
                throw BerthError(.unimplemented, "no method '\(request.service)/\(request.method)'")
            }
            try enter(frame.stream)
            let task = Task { await self.run(frame.stream, request, handler) }
            state.withLock { state in
                // Nil: the call is over already.
                if state.calls[frame.stream] != nil { state.calls[frame.stream] = .some(task) }
            }
        } catch { answer(frame.stream, TTRPCResponse(BerthError.wrapping(error))) }
    }

    private func enter(_ stream: UInt32) throws {
        try state.withLock { state in
            guard state.calls.count < TTRPCServer.maxInFlight else {
                throw BerthError(
                    .resourceExhausted, "\(TTRPCServer.maxInFlight) calls are under way on this connection")
            }
            state.calls[stream] = .some(nil)
        }
    }

    private func run(_ stream: UInt32, _ request: TTRPCRequest, _ handler: @escaping TTRPCServer.Handler) async {
        let response: TTRPCResponse
        do {
            response = TTRPCResponse(payload: try await bounded(request, handler))
        } catch { response = TTRPCResponse(BerthError.wrapping(error)) }
        state.withLock { _ = $0.calls.removeValue(forKey: stream) }
        answer(stream, response)
    }

    private func bounded(_ request: TTRPCRequest, _ handler: @escaping TTRPCServer.Handler) async throws -> [UInt8] {
        guard request.timeoutNano > 0 else { return try await handler(request.payload) }
        return try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
            group.addTask { try await handler(request.payload) }
            group.addTask {
                try await Task.sleep(for: .nanoseconds(request.timeoutNano))
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let payload = first else {
                throw BerthError(.deadlineExceeded, "\(request.method): the caller's deadline has passed")
            }
            return payload
        }
    }

    private func answer(_ stream: UInt32, _ response: TTRPCResponse) {
        let connection = state.withLock { $0.connection }
        let frame = Frame(stream: stream, kind: .response, data: response.encoded())
        do { try connection?.send(frame) } catch {
            // The peer is gone, or reads nothing: either way it gets no answer from this connection any more.
            close()
        }
    }
}
