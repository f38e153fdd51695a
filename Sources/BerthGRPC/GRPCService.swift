internal import BerthBase
package import SwiftProtobuf

/// The process at the other end of a unix socket.
package struct PeerCredentials: Sendable, Hashable {
    /// Its process ID when it connected; 0 when unknown.
    package var pid: Int32
    /// Its user.
    package var uid: UInt32
    /// Its group.
    package var gid: UInt32

    package init(pid: Int32, uid: UInt32, gid: UInt32) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
    }
}

/// One call as its handler sees it.
package struct GRPCCall: Sendable {
    /// `/package.Service/Method`.
    package var path: String
    /// The metadata, names in lower case; values of `-bin` names are decoded.
    package var metadata: [(name: String, value: [UInt8])]
    /// When the caller gives up; the handler's task is cancelled then.
    package var deadline: ContinuousClock.Instant?
    /// Who calls; nil over TCP.
    package var peer: PeerCredentials?

    package init(
        path: String, metadata: [(name: String, value: [UInt8])] = [],
        deadline: ContinuousClock.Instant? = nil,
        peer: PeerCredentials? = nil
    ) {
        self.path = path
        self.metadata = metadata
        self.deadline = deadline
        self.peer = peer
    }

    /// The first value of a name, as text.
    package func text(_ name: String) -> String? {
        metadata.first { $0.name == name }.map { String(decoding: $0.value, as: UTF8.self) }
    }
}

/// Sends the messages of a streaming answer; `send` waits while the peer's window is full.
package protocol GRPCResponseWriter: Sendable {
    /// - Throws: `cancelled` when the peer has gone.
    func send(_ message: [UInt8]) async throws
}

/// The messages of a streaming request; nil at its end.
package protocol GRPCRequestReader: Sendable {
    func next() async throws -> [UInt8]?
}

/// A method of a service: its name and its handler, on encoded messages.
package struct GRPCMethod: Sendable {
    /// How a call is handled.
    package enum Handler: Sendable {
        /// One message each way.
        case unary(@Sendable ([UInt8], GRPCCall) async throws -> [UInt8])
        /// Any number of messages each way.
        case streaming(
            @Sendable (any GRPCRequestReader, any GRPCResponseWriter, GRPCCall) async throws -> Void)
    }

    package let name: String
    package let handler: Handler

    package init(_ name: String, _ handler: Handler) {
        self.name = name
        self.handler = handler
    }

    /// One message each way.
    package static func unary<Request: Message & Sendable, Response: Message & Sendable>(
        _ name: String, _ body: @escaping @Sendable (Request, GRPCCall) async throws -> Response
    ) -> GRPCMethod {
        GRPCMethod(
            name,
            .unary { bytes, call in
                let request: Request = try decode(bytes, call)
                return try await body(request, call).serializedBytes()
            })
    }

    /// One message, a stream of answers.
    package static func serverStreaming<Request: Message & Sendable, Response: Message & Sendable>(
        _ name: String,
        _ body:
            @escaping @Sendable (Request, GRPCCall, @escaping @Sendable (Response) async throws -> Void)
            async throws -> Void
    ) -> GRPCMethod {
        GRPCMethod(
            name,
            .streaming { reader, writer, call in
                guard let bytes = try await reader.next() else {
                    throw BerthError(.invalidArgument, "\(call.path): the request has no message")
                }
                let request: Request = try decode(bytes, call)
                try await body(request, call) { try await writer.send($0.serializedBytes()) }
            })
    }
}

private func decode<Request: Message>(_ bytes: [UInt8], _ call: GRPCCall) throws -> Request {
    do { return try Request(serializedBytes: bytes) } catch {
        throw BerthError(.invalidArgument, "\(call.path): the request is no valid message", cause: error)
    }
}

/// A gRPC service: its full name and its methods.
package protocol GRPCService: Sendable {
    /// `runtime.v1.RuntimeService`.
    var name: String { get }
    var methods: [GRPCMethod] { get }
}
