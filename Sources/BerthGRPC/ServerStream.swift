internal import BerthBase
internal import BerthIO

/// One call on the server's side, from its headers until the stream is closed and the handler has returned.
///
/// SAFETY: everything but `exchange`, `connection` and `id` is used on the loop's thread only; the handler's task
/// reaches it by jobs of the loop.
final class ServerStream: @unchecked Sendable {
    let id: Int32
    let connection: ServerConnection
    private(set) var head = RequestHead()
    private let begin = ContinuousClock.now
    private var headIsWhole = false
    private var deframer: MessageDeframer
    /// The one message of a unary request.
    private var request: [UInt8]?
    private var requestIsDouble = false
    /// The one message of a unary answer.
    private var reply = OutgoingMessages()
    private(set) var exchange: MessageExchange?
    private var hasSentHeaders = false
    /// How the call ended; set once.
    private var outcome: BerthError?
    private var isAnswered = false
    private var isClosed = false
    private var task: Task<Void, Never>?
    private var isRunning = false
    private var timer: TimerID?
    private var held = 0

    init(_ id: Int32, _ connection: ServerConnection) {
        self.id = id
        self.connection = connection
        deframer = MessageDeframer(limit: connection.limits.maxMessageBytes)
    }

    private var call: GRPCCall {
        GRPCCall(
            path: head.path, metadata: head.metadata, deadline: head.timeout.map { begin + $0 },
            peer: connection.peer)
    }

    // MARK: the request

    /// One header, or one trailer; false when there are far too many.
    func header(_ name: Bytes, _ value: Bytes) -> Bool {
        let limit = connection.limits.maxHeaderListBytes
        // Nothing that gRPC sends behind a request is of use; it only must not be too much.
        if headIsWhole { return unsafe head.count(name, value) <= limit }
        return unsafe head.add(name, value, connection.server.routes, limit: limit)
    }

    /// The headers are whole, or the trailers are.
    func headersEnded(isLast: Bool) {
        if headIsWhole {
            if isLast { requestEnded() }
            return
        }
        headIsWhole = true
        head.finish()
        if let problem = head.problem { return refuse(problem.error, http: problem.http) }
        guard case .route(let route) = head.target else {
            return refuse(connection.server.routes.refusal(of: head.path), http: "200")
        }
        if let compression = head.compression {
            let why = "the message encoding '\(compression)' is not supported, only identity"
            return refuse(BerthError(.unimplemented, "call '\(route.path)': \(why)"), http: "200")
        }
        if let error = connection.refusalToRun() { return refuse(error, http: "200") }
        if let timeout = head.timeout {
            timer = connection.loop.schedule(at: begin + timeout) { [self] in expire() }
        }
        if case .streaming(let handler) = route.method.handler { start(handler) }
        if isLast { requestEnded() }
    }

    func data(_ bytes: Bytes) {
        let session = connection.session
        session.consumeConnection(bytes.count)
        guard !isAnswered, outcome == nil else { return session.consumeStream(id, bytes.count) }
        var messages: [[UInt8]] = []
        do throws(BerthError) {
            try unsafe deframer.feed(bytes) { messages.append($0) }
        } catch {
            session.consumeStream(id, bytes.count)
            return finish(error.during("call '\(head.path)'"))
        }
        if let exchange {
            let open = exchange.deliver(messages, cost: bytes.count)
            if open > 0 { session.consumeStream(id, open) }
            return
        }
        session.consumeStream(id, bytes.count)
        guard hold(bytes.count) else { return }
        for message in messages {
            if request != nil { requestIsDouble = true }
            request = message
        }
    }

    /// Counts received bytes against what all connections may hold.
    private func hold(_ count: Int) -> Bool {
        held += count
        connection.server.heldBytes += count
        guard connection.server.heldBytes > connection.limits.maxHeldBytes else { return true }
        finish(
            BerthError(
                .resourceExhausted, "call '\(head.path)': the server holds too many bytes of requests already"
            ))
        return false
    }

    func requestEnded() {
        guard !isAnswered, outcome == nil, case .route(let route) = head.target else { return }
        guard !deframer.isWithinMessage else {
            return finish(BerthError(.internal, "call '\(route.path)': the request ends within a message"))
        }
        if let exchange { return exchange.endIncoming() }
        guard case .unary(let handler) = route.method.handler else { return }
        guard let request, !requestIsDouble else {
            let count = requestIsDouble ? "several messages" : "no message"
            return finish(BerthError(.internal, "call '\(route.path)': a unary request with \(count)"))
        }
        self.request = nil
        start(handler, request)
    }

    // MARK: the handler

    private func start(
        _ handler: @escaping @Sendable ([UInt8], GRPCCall) async throws -> [UInt8], _ request: [UInt8]
    ) {
        begun()
        let call = call
        // Runs here until it has to wait, so that an answer from memory needs no other thread.
        task = Task.immediate { [self] in
            let result: Result<[UInt8], BerthError>
            do { result = .success(try await handler(request, call)) } catch {
                result = .failure(.wrapping(error))
            }
            onLoop { self.ended(result) }
        }
        if !isRunning { task = nil }
    }

    private func start(
        _ handler:
            @escaping @Sendable (any GRPCRequestReader, any GRPCResponseWriter, GRPCCall) async throws -> Void
    ) {
        let limits = connection.limits
        let exchange = MessageExchange(.init(unread: limits.maxUnreadBytes, unsent: limits.maxUnsentBytes))
        self.exchange = exchange
        begun()
        let messages = CallMessages(stream: self, exchange: exchange)
        let call = call
        task = Task.immediate { [self] in
            let result: Result<[UInt8], BerthError>
            do {
                try await handler(messages, messages, call)
                result = .success([])
            } catch { result = .failure(.wrapping(error)) }
            onLoop { self.ended(result) }
        }
        if !isRunning { task = nil }
    }

    private func begun() {
        isRunning = true
        connection.runningHandlers += 1
    }

    private func onLoop(_ job: @escaping @Sendable () -> Void) {
        if connection.loop.isCurrent { job() } else { connection.loop.execute(job) }
    }

    private func ended(_ result: Result<[UInt8], BerthError>) {
        isRunning = false
        task = nil
        connection.runningHandlers -= 1
        if isClosed { release() }
        guard outcome == nil, !isAnswered else { return }
        switch result {
        case .failure(let error): finish(error)
        case .success(let message): answer(message)
        }
    }

    // MARK: the answer

    private func answer(_ message: [UInt8]) {
        isAnswered = true
        if let exchange {
            let look = exchange.endOutgoing()
            if !hasSentHeaders { sendHeaders() } else if look { connection.session.resume(id) }
        } else {
            reply.push(message)
            sendHeaders()
        }
        connection.planFlush()
    }

    /// Headers before the first message of a stream.
    func look() {
        guard !isClosed, outcome == nil else { return }
        if hasSentHeaders { connection.session.resume(id) } else { sendHeaders() }
        connection.planFlush()
    }

    private func sendHeaders() {
        hasSentHeaders = true
        connection.session.submitResponse(id, AnswerFields.begin)
    }

    func fill(_ buffer: UnsafeMutableRawBufferPointer) -> BodyPart {
        guard let exchange else {
            let count = unsafe reply.fill(buffer)
            guard reply.isEmpty else { return .bytes(count) }
            submitTrailers()
            return .end(count, trailers: true)
        }
        let (count, isOver) = unsafe exchange.fill(buffer)
        if isOver {
            submitTrailers()
            return .end(count, trailers: true)
        }
        return count == 0 ? .later : .bytes(count)
    }

    private func submitTrailers() {
        guard let outcome else { return connection.session.submitTrailers(id, AnswerFields.ok) }
        connection.session.submitTrailers(id, AnswerFields.status(outcome))
    }

    /// Ends the call with an error, at once; a handler that runs is cancelled.
    private func finish(_ error: BerthError) { refuse(error, http: "200") }

    private func refuse(_ error: BerthError, http: String) {
        guard outcome == nil, !isAnswered, !isClosed else { return }
        outcome = error
        task?.cancel()
        if let exchange, hasSentHeaders || exchange.hasOutgoing {
            // Messages queued before an error still go out, the trailers after them.
            let look = exchange.endOutgoing()
            if !hasSentHeaders { sendHeaders() } else if look { connection.session.resume(id) }
        } else {
            exchange?.fail(error)
            var fields = [HeaderField(":status", http), HeaderField("content-type", "application/grpc")]
            fields += AnswerFields.status(error)
            if head.compression != nil { fields.append(HeaderField("grpc-accept-encoding", "identity")) }
            connection.session.submitResponse(id, ending: fields)
        }
        connection.planFlush()
    }

    /// The deadline has passed: who waits for an answer has gone, so nothing is drained to it.
    private func expire() {
        guard outcome == nil, !isClosed else { return }
        let error = BerthError(.deadlineExceeded, "call '\(head.path)': the deadline passed")
        exchange?.fail(error)
        if hasSentHeaders {
            outcome = error
            task?.cancel()
            connection.session.reset(id, 0x8)
            connection.planFlush()
        } else {
            finish(error)
        }
    }

    // MARK: the end

    /// The stream is gone, with or without an answer.
    func closed(_ error: UInt32) {
        isClosed = true
        if let timer { connection.loop.cancel(timer) }
        timer = nil
        if outcome == nil, !isAnswered || error != 0 {
            outcome = BerthError(.cancelled, "call '\(head.path)': the caller is gone")
        }
        if let outcome { exchange?.fail(outcome) }
        task?.cancel()
        if !isRunning { release() }
        connection.server.report?(
            GRPCCallReport(
                path: head.path, code: outcome?.code, message: outcome?.description, elapsed: .now - begin,
                isStreaming: exchange != nil, peer: connection.peer))
    }

    private func release() {
        connection.server.heldBytes -= held
        held = 0
    }
}

/// The fields every answer has.
enum AnswerFields {
    static let begin = PreparedFields([(":status", "200"), ("content-type", "application/grpc")])
    static let ok = PreparedFields([("grpc-status", "0")])
    /// A longer message is cut: peers bound their header lists.
    static let maxMessageBytes = 8 << 10

    static func status(_ error: BerthError) -> [HeaderField] {
        var message = PercentText.encode(error.description)
        if message.count > maxMessageBytes {
            message.removeLast(message.count - maxMessageBytes)
            // No half of an escape at the end.
            if let percent = message.suffix(2).lastIndex(of: UInt8(ascii: "%")) {
                message.removeSubrange(percent...)
            }
        }
        return [HeaderField("grpc-status", "\(error.code.rawValue)"), HeaderField("grpc-message", message)]
    }
}

/// The messages of a streaming call, as its handler sees them.
struct CallMessages: GRPCRequestReader, GRPCResponseWriter {
    let stream: ServerStream
    let exchange: MessageExchange

    func next() async throws -> [UInt8]? {
        try await exchange.next { [stream] opened in
            guard opened > 0 else { return }
            stream.connection.loop.execute {
                stream.connection.opened(stream.id, opened)
            }
        }
    }

    func send(_ message: [UInt8]) async throws {
        try await exchange.send(message) { [stream] in stream.connection.loop.execute { stream.look() } }
    }
}
