internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import Glibc
internal import SwiftProtobuf

/// The daemon's `berth.v1` service, as the commands call it.
struct Daemon: Sendable {
    private let client: GRPCClient

    /// - Throws: `unavailable` that says how to start a daemon.
    init(address: String) async throws {
        do {
            client = try await GRPCClient.connect(unix: address)
        } catch {
            let error = BerthError.wrapping(error)
            if error.code == .permissionDenied { throw error.during("connect to '\(address)'") }
            throw BerthError(
                .unavailable,
                "no daemon answers at '\(address)': \(error); start berthd, or name its socket with --address")
        }
    }

    /// One request, one answer.
    func call<Request: Message & Sendable, Response: Message & Sendable>(
        _ method: String, _ request: Request, as response: Response.Type = Response.self
    ) async throws -> Response {
        do {
            let bytes = try await client.unary("/berth.v1.Berth/\(method)", try request.serializedBytes())
            return try Response(serializedBytes: bytes)
        } catch let error as BerthError where error.code == .unavailable {
            throw Self.lost(error)
        }
    }

    /// One request, many answers.
    func stream<Request: Message & Sendable, Response: Message & Sendable>(
        _ method: String, _ request: Request, _ each: (Response) throws -> Void
    ) async throws {
        do {
            let path = "/berth.v1.Berth/\(method)"
            let answers = try await client.serverStreaming(path, try request.serializedBytes())
            for try await bytes in answers { try each(try Response(serializedBytes: bytes)) }
        } catch let error as BerthError where error.code == .unavailable {
            throw Self.lost(error)
        }
    }

    /// The daemon's own words for something that is unavailable stay; a lost connection is explained.
    private static func lost(_ error: BerthError) -> BerthError {
        guard error.message.contains("peer closed") || error.message.contains("/berth.v1.Berth/") else { return error }
        return BerthError(
            .unavailable, "the daemon went away in the middle of the call: see its log, then try again", cause: error)
    }
}

/// Prints a message as JSON or by `table`.
func show<Response: Message>(_ response: Response, _ form: OutputForm, table: () -> String) throws {
    switch form {
    case .json: say(try json(response))
    case .table: say(table())
    }
}

/// A message as JSON: the names of the .proto file, fields with their default value left out.
func json(_ message: some Message) throws -> String {
    var options = JSONEncodingOptions()
    options.preserveProtoFieldNames = true
    options.alwaysPrintInt64sAsNumbers = true
    options.useDeterministicOrdering = true
    return try message.jsonString(options: options)
}

/// Writes a line to the standard output; nothing for an empty one.
func say(_ line: String) {
    if !line.isEmpty { write(Array((line + "\n").utf8), to: 1) }
}

/// How long ago a moment was.
func age(of moment: Google_Protobuf_Timestamp) -> String {
    humanAge(Timestamp.now().seconds - moment.seconds)
}

/// Writes bytes to a descriptor as they are.
func write(_ bytes: [UInt8], to descriptor: Int32) {
    var sent = 0
    while sent < bytes.count {
        let count = bytes.withUnsafeBytes {
            Glibc.write(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent)
        }
        if count < 0, errno == EINTR { continue }
        // Whoever read our output has gone: there is nothing left to do, and nobody to tell.
        if count < 0, errno == EPIPE { exit(128 + SIGPIPE) }
        if count <= 0 { return }
        sent += count
    }
}
