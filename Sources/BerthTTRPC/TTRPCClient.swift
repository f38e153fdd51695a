package import BerthBase
package import BerthIO
package import BerthShimAPI
package import BerthSystem
internal import Synchronization

/// Calls the methods of a ttrpc server over one connection, any number at a time up to a limit.
///
/// The end of the connection fails every call under way with `unavailable`; a client does not connect again.
package final class TTRPCClient: Sendable {
    /// Calls without an answer that one connection carries.
    package static let maxInFlight = 1024

    /// A call that waits.
    private struct Pending {
        let continuation: CheckedContinuation<[UInt8], any Error>
        let onData: (@Sendable ([UInt8]) -> Void)?
        var timer: TimerID?
    }
    private struct State {
        var nextStream: UInt32 = 1
        var pending: [UInt32: Pending] = [:]
        var ended: BerthError?
        var watchers: [CheckedContinuation<BerthError, Never>] = []
    }
    private let state: Shared<State>
    private let connection: Connection
    private let loop: EventLoop
    private let what: String

    /// Connects to a unix socket.
    ///
    /// - Parameter what: names the server in errors: `shim 'abc'`.
    /// - Throws: `notFound` without a socket, `unavailable` when nobody listens there.
    package static func connect(
        to path: String, named what: String, on loop: EventLoop, patience: Duration = .seconds(5)
    ) async throws -> TTRPCClient {
        let socket: OwnedFD
        do { socket = try await loop.connectDescriptor(.unix(path), patience: patience) } catch {
            throw BerthError.wrapping(error).during("connect to \(what)")
        }
        return try TTRPCClient(socket, named: what, on: loop)
    }

    /// Takes over a connected, non-blocking socket.
    package init(_ socket: consuming OwnedFD, named what: String, on loop: EventLoop) throws {
        self.what = what
        self.loop = loop
        let state = Shared(State())
        self.state = state
        connection = Connection(
            socket, to: what, on: loop, onItem: { Self.take($0, state, loop, what) },
            onEnd: { Self.end(state, loop, $0) })
        try connection.start()
    }

    deinit { close() }

    /// Calls a method and waits for its answer.
    ///
    /// - Parameters:
    ///   - timeout: told to the server and kept here; nil waits for as long as the connection lives.
    ///   - onData: gets each message of a streaming answer, on the loop's thread.
    /// - Throws: the server's status; `deadlineExceeded`; `unavailable` when the connection is lost; `cancelled` when
    ///   the task is, and the answer is dropped when it comes; `resourceExhausted` with too many calls under way.
    package func call(
        _ service: String, _ method: String, _ payload: [UInt8], timeout: Duration?,
        onData: (@Sendable ([UInt8]) -> Void)? = nil
    ) async throws -> [UInt8] {
        try Task.checkCancellation()
        let request = TTRPCRequest(service: service, method: method, payload: payload, timeout: timeout).encoded()
        let stream = Shared<UInt32>(0)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let pending = Pending(continuation: continuation, onData: onData)
                begin(pending, request, stream, timeout.map { ($0, method) })
            }
        } onCancel: {
            // Zero: not begun; `begin` looks after it. Else the call is given up.
            let id = stream.withLock { id -> UInt32 in
                defer { if id == 0 { id = .max } }
                return id
            }
            if id != 0 { Self.finish(state, loop, id, .failure(CancellationError())) }
        }
    }

    /// Calls a method with messages of the shim's protocol.
    package func call<Request: WireMessage, Response: WireMessage>(
        _ service: String, _ method: String, _ request: Request, timeout: Duration?,
        as type: Response.Type = Response.self
    ) async throws -> Response {
        let bytes = try await call(service, method, request.encoded(), timeout: timeout)
        return try Response(decoding: bytes)
    }

    /// Waits until the connection has ended, and says why.
    package func ended() async -> BerthError {
        await withCheckedContinuation { continuation in
            let reason = state.withLock { state -> BerthError? in
                if state.ended == nil { state.watchers.append(continuation) }
                return state.ended
            }
            if let reason { continuation.resume(returning: reason) }
        }
    }

    /// Whether the connection is open.
    package var isOpen: Bool { state.withLock { $0.ended == nil } }

    /// Calls without an answer.
    package var inFlight: Int { state.withLock { $0.pending.count } }

    /// Ends the connection; calls under way fail with `cancelled`.
    package func close() {
        connection.close()
        Self.end(state, loop, BerthError(.cancelled, "the connection to \(what) was closed"))
    }

    private func begin(
        _ pending: Pending, _ request: [UInt8], _ stream: Shared<UInt32>, _ limit: (timeout: Duration, method: String)?
    ) {
        let id: UInt32
        do {
            id = try connection.send(count: request.count) {
                let id = try enter(pending)
                return (Frame(stream: id, kind: .request, flags: Frame.remoteClosed, data: request), id)
            }
        } catch { return pending.continuation.resume(throwing: error) }
        if let limit { arm(id, limit.timeout, limit.method) }
        let wasCancelled = stream.withLock { known -> Bool in
            defer { known = id }
            return known == .max
        }
        if wasCancelled { Self.finish(state, loop, id, .failure(CancellationError())) }
    }

    private func enter(_ pending: Pending) throws -> UInt32 {
        try state.withLock { state in
            if let ended = state.ended { throw ended }
            guard state.pending.count < Self.maxInFlight else {
                throw BerthError(.resourceExhausted, "call \(what): \(Self.maxInFlight) calls are under way")
            }
            guard state.nextStream < UInt32(Int32.max) else {
                throw BerthError(.unavailable, "call \(what): the connection's stream IDs are used up")
            }
            defer { state.nextStream += 2 }
            state.pending[state.nextStream] = pending
            return state.nextStream
        }
    }

    private func arm(_ id: UInt32, _ timeout: Duration, _ method: String) {
        let what = what
        let timer = loop.schedule(at: .now + timeout) { [state, loop] in
            let error = BerthError(.deadlineExceeded, "\(method) of \(what): no answer within \(timeout)")
            Self.finish(state, loop, id, .failure(error))
        }
        let isLate = state.withLock { state -> Bool in
            guard state.pending[id] != nil else { return true }
            state.pending[id]?.timer = timer
            return false
        }
        if isLate { loop.cancel(timer) }
    }

    private static func finish(
        _ state: Shared<State>, _ loop: EventLoop, _ id: UInt32, _ result: Result<[UInt8], any Error>
    ) {
        guard let pending = state.withLock({ $0.pending.removeValue(forKey: id) }) else { return }
        if let timer = pending.timer { loop.cancel(timer) }
        pending.continuation.resume(with: result)
    }

    private static func take(_ item: FrameDecoder.Item, _ state: Shared<State>, _ loop: EventLoop, _ what: String) {
        switch item {
        case .frame(let frame) where frame.kind == .response:
            finish(state, loop, frame.stream, Result { try payload(of: frame, what) })
        case .frame(let frame) where frame.kind == .data:
            let onData = state.withLock { $0.pending[frame.stream]?.onData }
            if frame.flags & Frame.noData == 0 { onData?(frame.data) }
        case .oversized(let stream, let length):
            let error = BerthError(
                .resourceExhausted, "call \(what): an answer of \(length) bytes; \(Frame.maxLength) is the most")
            finish(state, loop, stream, .failure(error))
        case .frame, .unknown: break
        }
    }

    private static func payload(of frame: Frame, _ what: String) throws -> [UInt8] {
        let response: TTRPCResponse
        do { response = try TTRPCResponse(decoding: frame.data) } catch {
            throw BerthError(.internal, "call \(what): its answer is no valid message", cause: error)
        }
        if let error = response.status?.error { throw error }
        return response.payload
    }

    private static func end(_ state: Shared<State>, _ loop: EventLoop, _ reason: BerthError) {
        let (pending, watchers) = state.withLock {
            state -> ([UInt32: Pending], [CheckedContinuation<BerthError, Never>]) in
            guard state.ended == nil else { return ([:], []) }
            state.ended = reason
            defer { (state.pending, state.watchers) = ([:], []) }
            return (state.pending, state.watchers)
        }
        for call in pending.values {
            if let timer = call.timer { loop.cancel(timer) }
            call.continuation.resume(throwing: reason)
        }
        for watcher in watchers { watcher.resume(returning: reason) }
    }
}
