internal import BerthBase
package import BerthIO
internal import BerthSystem

/// Calls gRPC services over one connection. A lost connection fails its calls with `unavailable`, and all later
/// ones: whoever wants another connects again.
package final class GRPCClient: Sendable {
    /// Metadata to be sent: names in lower case; values of `-bin` names are encoded here.
    package typealias Metadata = [(name: String, value: [UInt8])]

    private let connection: ClientConnection

    /// Connects to a unix socket.
    ///
    /// - Throws: `notFound` without a socket file, `unavailable` when nobody listens there.
    package static func connect(
        unix path: String, limits: GRPCLimits = GRPCLimits(), on loop: EventLoop? = nil
    ) async throws -> GRPCClient { try await connect(.unix(path), limits: limits, on: loop) }

    /// Connects to an address.
    package static func connect(
        _ address: SocketAddress, limits: GRPCLimits = GRPCLimits(), on loop: EventLoop? = nil
    ) async throws -> GRPCClient {
        let loop = try loop ?? EventLoop.ofProcess()
        let socket = try await loop.connectDescriptor(address)
        return GRPCClient(try ClientConnection(socket, limits, loop))
    }

    private init(_ connection: ClientConnection) {
        self.connection = connection
        connection.loop.execute { connection.open() }
    }

    deinit { close() }

    /// Ends the connection and the calls under way.
    package func close() {
        connection.loop.execute { [connection] in
            connection.close(BerthError(.cancelled, "the connection was closed here"))
        }
    }

    /// One message each way.
    ///
    /// - Parameter timeout: told to the server, and kept here.
    /// - Throws: the status of the call; `internal` if the answer has not exactly one message.
    package func unary(
        _ path: String, _ message: [UInt8], metadata: Metadata = [], timeout: Duration? = nil
    ) async throws -> [UInt8] {
        let call = streaming(path, metadata: metadata, timeout: timeout)
        return try await withTaskCancellationHandler {
            try await call.send(message)
            call.endSending()
            guard let answer = try await call.next() else {
                throw BerthError(.internal, "call '\(path)': the answer has no message")
            }
            guard try await call.next() == nil else {
                throw BerthError(.internal, "call '\(path)': the answer has several messages")
            }
            return answer
        } onCancel: {
            call.cancel()
        }
    }

    /// One message, any number of answers. The call is cancelled when the answers are let go.
    package func serverStreaming(
        _ path: String, _ message: [UInt8], metadata: Metadata = [], timeout: Duration? = nil
    ) async throws -> GRPCAnswers {
        let call = streaming(path, metadata: metadata, timeout: timeout)
        try await call.send(message)
        call.endSending()
        return GRPCAnswers(call)
    }

    /// Any number of messages each way.
    package func streaming(_ path: String, metadata: Metadata = [], timeout: Duration? = nil)
        -> GRPCClientCall
    {
        GRPCClientCall(connection, path, metadata, timeout)
    }
}

/// The answers of a call; throws its status if that is no success.
package struct GRPCAnswers: AsyncSequence, Sendable {
    package typealias Element = [UInt8]
    private let call: GRPCClientCall

    init(_ call: GRPCClientCall) { self.call = call }

    package func makeAsyncIterator() -> Iterator { Iterator(call: call) }

    /// Takes one answer after the other.
    package struct Iterator: AsyncIteratorProtocol {
        let call: GRPCClientCall
        package mutating func next() async throws -> [UInt8]? { try await call.next() }
    }
}

/// One call of a client, messages both ways.
package final class GRPCClientCall: GRPCRequestReader, GRPCResponseWriter {
    private let stream: ClientStream

    init(
        _ connection: ClientConnection, _ path: String, _ metadata: GRPCClient.Metadata, _ timeout: Duration?
    ) {
        stream = ClientStream(connection, path)
        let fields = Self.fields(path, metadata, timeout)
        connection.loop.execute { [stream] in stream.begin(fields, timeout) }
    }

    deinit { cancel() }

    /// Sends a message; waits while the server's window is full.
    package func send(_ message: [UInt8]) async throws {
        try await stream.exchange.send(message) { [stream] in
            stream.connection.loop.execute { stream.look() }
        }
    }

    /// No more messages are sent.
    package func endSending() {
        if stream.exchange.endOutgoing() { stream.connection.loop.execute { [stream] in stream.look() } }
    }

    /// The next answer; nil when the call ended with success.
    ///
    /// - Throws: the status of the call.
    package func next() async throws -> [UInt8]? {
        try await withTaskCancellationHandler {
            try await stream.exchange.next { [stream] opened in
                if opened > 0 { stream.connection.loop.execute { stream.opened(opened) } }
            }
        } onCancel: {
            cancel()
        }
    }

    /// Ends the call; the server's handler is cancelled. Nothing if it has ended.
    package func cancel() { stream.connection.loop.execute { [stream] in stream.cancel() } }

    private static func fields(_ path: String, _ metadata: GRPCClient.Metadata, _ timeout: Duration?)
        -> [HeaderField]
    {
        var fields = [
            HeaderField(":method", "POST"), HeaderField(":scheme", "http"), HeaderField(":path", path),
            HeaderField(":authority", "localhost"), HeaderField("te", "trailers"),
            HeaderField("content-type", "application/grpc"), HeaderField("user-agent", "berth"),
        ]
        if let timeout { fields.append(HeaderField("grpc-timeout", GRPCTimeout.format(timeout))) }
        for (name, value) in metadata {
            fields.append(
                name.hasSuffix("-bin") ? HeaderField(name, Base64.encode(value)) : HeaderField(name, value))
        }
        return fields
    }
}
