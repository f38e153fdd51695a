internal import BerthBase
internal import BerthShimAPI
internal import BerthTTRPC

/// One call of a client, to be answered once: now, or when what it waits for has happened.
final class RPCCall {
    let service: String
    let method: String
    let payload: [UInt8]
    /// What the client will wait for an answer; nil: without end.
    let timeout: Duration?
    private let stream: UInt32
    private weak var connection: RPCConnection?
    private(set) var isAnswered = false

    init(_ request: TTRPCRequest, stream: UInt32, on connection: RPCConnection) {
        service = request.service
        method = request.method
        payload = request.payload
        timeout = request.timeoutNano > 0 ? .nanoseconds(request.timeoutNano) : nil
        self.stream = stream
        self.connection = connection
    }

    /// The request's message.
    func request<M: WireMessage>(_ type: M.Type = M.self) throws(BerthError) -> M {
        do { return try M(decoding: payload) } catch { throw BerthError.wrapping(error) }
    }

    /// Whether anybody would read an answer.
    var isWanted: Bool { !isAnswered && connection?.isOpen == true }

    /// Answers with a message.
    func answer(_ message: some WireMessage) { finish(TTRPCResponse(payload: message.encoded())) }

    /// Answers with an error.
    func fail(_ error: BerthError) { finish(TTRPCResponse(error)) }

    /// Answers with what `body` makes, or throws.
    func answer<M: WireMessage>(_ body: () throws(BerthError) -> M) {
        do throws(BerthError) { answer(try body()) } catch { fail(error) }
    }

    /// Sends one message of a stream that the answer will end.
    func send(_ message: some WireMessage) {
        guard !isAnswered else { return }
        connection?.send(Frame(stream: stream, kind: .data, data: message.encoded()))
    }

    private func finish(_ response: TTRPCResponse) {
        guard !isAnswered else { return }
        isAnswered = true
        connection?.finish(Frame(stream: stream, kind: .response, data: response.encoded()), of: self)
    }
}

extension RPCCall: Hashable {
    static func == (left: RPCCall, right: RPCCall) -> Bool { left === right }
    func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
