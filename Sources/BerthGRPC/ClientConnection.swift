internal import BerthBase
internal import BerthIO
internal import BerthSystem

/// The client's side of a connection.
///
/// SAFETY: as `HTTP2Connection`: the loop's thread only, but for what does not change.
final class ClientConnection: HTTP2Connection, HTTP2Events, @unchecked Sendable {
    private var streams: [Int32: ClientStream] = [:]
    private var end: BerthError?
    /// Calls that have not ended, also those the server's limit on streams keeps waiting.
    static let maxCalls = 4096

    init(_ descriptor: consuming OwnedFD, _ limits: GRPCLimits, _ loop: EventLoop) throws {
        let session = try HTTP2Session(isServer: false, limits)
        super.init(descriptor, session: session, limits: limits, scratch: ReadBuffer(), loop: loop)
        unsafe session.events = self
    }

    /// Opens a stream for a call.
    func begin(_ call: ClientStream, _ fields: [HeaderField]) throws(BerthError) -> Int32 {
        if let end { throw end }
        guard streams.count < Self.maxCalls else {
            throw BerthError(.resourceExhausted, "begin a call: \(streams.count) calls are under way already")
        }
        let stream = try session.submitRequest(fields)
        streams[stream] = call
        planFlush()
        return stream
    }

    override func didClose(_ reason: BerthError) {
        if end == nil { end = reason }
        let all = streams.values
        streams = [:]
        for call in all { call.lost(reason) }
    }

    func headersBegan(_ stream: Int32) { streams[stream]?.headersBegan() }

    func header(_ stream: Int32, name: Bytes, value: Bytes) -> Bool {
        guard let call = streams[stream] else { return true }
        return unsafe call.header(name, value)
    }

    func headersEnded(_ stream: Int32, isLast: Bool) {}

    func data(_ stream: Int32, _ bytes: Bytes) {
        session.consumeConnection(bytes.count)
        unsafe streams[stream]?.data(bytes)
    }

    func streamEnded(_ stream: Int32) {}

    func streamClosed(_ stream: Int32, error: UInt32) { streams.removeValue(forKey: stream)?.closed(error) }

    func fill(_ stream: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> BodyPart {
        guard let call = streams[stream] else { return .failed }
        let (count, isOver) = unsafe call.exchange.fill(buffer)
        if isOver { return .end(count, trailers: false) }
        return count == 0 ? .later : .bytes(count)
    }

    func sentEnd(_ stream: Int32) {}
    func sentReset(_ error: UInt32) {}
    func frameBegan(_ frame: FrameHead) {}
    func pingAnswered() {}

    func goawayReceived(last: Int32, error: UInt32, text: String) {
        guard end == nil else { return }
        let why = text.isEmpty ? "it shuts down" : text
        end = BerthError(
            error == 0xb ? .resourceExhausted : .unavailable, "the server takes no more calls: \(why)")
    }
}

/// One call on the client's side.
///
/// SAFETY: everything but `exchange`, `connection` and `path` is used on the loop's thread only.
final class ClientStream: @unchecked Sendable {
    let connection: ClientConnection
    let exchange: MessageExchange
    private let path: String
    private var id: Int32?
    private var deframer: MessageDeframer
    private var httpStatus: Int?
    private var status: Int32?
    private var message: [UInt8] = []
    private var headerBytes = 0
    private var hasEnded = false
    private var timer: TimerID?

    init(_ connection: ClientConnection, _ path: String) {
        self.connection = connection
        self.path = path
        let limits = connection.limits
        exchange = MessageExchange(.init(unread: limits.maxUnreadBytes, unsent: limits.maxUnsentBytes))
        deframer = MessageDeframer(limit: limits.maxMessageBytes)
    }

    func begin(_ fields: [HeaderField], _ timeout: Duration?) {
        guard !hasEnded else { return }
        do throws(BerthError) { id = try connection.begin(self, fields) } catch {
            return end(error.during("call '\(path)'"))
        }
        guard let timeout else { return }
        timer = connection.loop.schedule(at: .now + timeout) { [self] in
            giveUp(BerthError(.deadlineExceeded, "call '\(path)': no answer within \(timeout)"))
        }
    }

    /// There is something to send.
    func look() {
        guard let id, !hasEnded else { return }
        connection.session.resume(id)
        connection.planFlush()
    }

    func opened(_ count: Int) {
        guard let id, !hasEnded, connection.isOpen else { return }
        connection.session.consumeStream(id, count)
        connection.planFlush()
    }

    func cancel() { giveUp(BerthError(.cancelled, "call '\(path)': cancelled by the caller")) }

    private func giveUp(_ error: BerthError) {
        guard !hasEnded else { return }
        end(error)
        guard let id, connection.isOpen else { return }
        connection.session.reset(id, 0x8)
        connection.planFlush()
    }

    func headersBegan() { headerBytes = 0 }

    func header(_ name: Bytes, _ value: Bytes) -> Bool {
        headerBytes += name.count + value.count + 32
        guard headerBytes <= connection.limits.maxHeaderListBytes else { return false }
        if unsafe name.is(":status") {
            httpStatus = unsafe Int(String(decoding: value, as: UTF8.self))
        } else if unsafe name.is("grpc-status") {
            status = unsafe Int32(String(decoding: value, as: UTF8.self)) ?? BerthError.Code.unknown.rawValue
        } else if unsafe name.is("grpc-message") {
            message = unsafe Array(value)
        }
        return true
    }

    func data(_ bytes: Bytes) {
        guard let id else { return }
        var messages: [[UInt8]] = []
        do throws(BerthError) {
            try unsafe deframer.feed(bytes) { messages.append($0) }
        } catch {
            connection.session.consumeStream(id, bytes.count)
            return giveUp(error.during("call '\(path)'"))
        }
        let open = exchange.deliver(messages, cost: bytes.count)
        if open > 0 { connection.session.consumeStream(id, open) }
    }

    func closed(_ reset: UInt32) {
        guard !hasEnded else { return }
        switch status {
        case 0 where deframer.isWithinMessage:
            end(BerthError(.internal, "call '\(path)': the answer ends within a message"))
        case 0:
            finish()
            exchange.endIncoming()
        case .some(let number):
            end(BerthError(BerthError.Code(rawValue: number) ?? .unknown, PercentText.decode(message)))
        case nil:
            if reset != 0 {
                let code = StatusMapping.code(ofReset: reset)
                return end(
                    BerthError(code, "call '\(path)': the server reset the stream with error \(reset)"))
            }
            let code = httpStatus.map { $0 == 200 ? .unknown : StatusMapping.code(ofHTTP: $0) } ?? .internal
            end(BerthError(code, "call '\(path)': HTTP status \(httpStatus ?? 0) without a gRPC status"))
        }
    }

    func lost(_ reason: BerthError) {
        guard !hasEnded else { return }
        end(reason.during("call '\(path)'"))
    }

    private func finish() {
        hasEnded = true
        if let timer { connection.loop.cancel(timer) }
        timer = nil
    }

    private func end(_ error: BerthError) {
        finish()
        // Answers that came before the status are still given out.
        exchange.fail(error, afterIncoming: error.code != .cancelled && error.code != .deadlineExceeded)
    }
}
