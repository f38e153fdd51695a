import BerthBase
import BerthIO

@testable import BerthGRPC

/// A client that writes HTTP/2 frames by hand, well or badly.
struct RawPeer {
    /// A frame as it came.
    struct Frame {
        let type: UInt8
        let flags: UInt8
        let stream: UInt32
        let payload: [UInt8]

        /// The error code of RST_STREAM and GOAWAY.
        var error: UInt32? {
            switch type {
            case 3 where payload.count == 4: number(payload[...])
            case 7 where payload.count >= 8: number(payload[4..<8])
            default: nil
            }
        }
        /// The last stream of a GOAWAY.
        var last: UInt32 { number(payload.prefix(4)) }
        var text: String { String(decoding: payload.dropFirst(8), as: UTF8.self) }
        private func number(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }
    }
    let stream: BerthIO.Stream

    init(_ world: World, greet: Bool = true) async throws {
        stream = try await world.raw()
        if greet { try await stream.write(Self.preface + Self.frame(4, 0, 0, [])) }
    }

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        big(UInt32(payload.count)).dropFirst() + [type, flags] + big(stream) + payload
    }

    static func big(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) } }

    /// A header block without compression.
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { name, value in
            [0] + length(name.utf8.count) + name.utf8 + length(value.utf8.count) + value.utf8
        }
    }

    private static func length(_ count: Int) -> [UInt8] {
        if count < 127 { return [UInt8(count)] }
        var (rest, bytes) = (count - 127, [UInt8(127)])
        while rest >= 128 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    static func request(_ path: String, _ extra: [(String, String)] = []) -> [(String, String)] {
        [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers"),
            ("content-type", "application/grpc"),
        ] + extra
    }

    /// HEADERS of a call.
    static func headers(_ stream: UInt32, _ path: String, end: Bool = false) -> [UInt8] {
        frame(1, end ? 5 : 4, stream, block(request(path)))
    }

    /// A whole unary call.
    static func call(_ stream: UInt32, _ path: String, _ message: [UInt8] = []) -> [UInt8] {
        headers(stream, path) + frame(0, 1, stream, [0] + big(UInt32(message.count)) + message)
    }

    func send(_ bytes: [UInt8]) async throws { try await stream.write(bytes) }

    /// Sends and does not mind a server that has closed.
    func push(_ bytes: [UInt8]) async -> Bool {
        do {
            try await stream.write(bytes)
            return true
        } catch { return false }
    }

    /// The next frame; nil at the end of the connection.
    func next() async throws -> Frame? {
        do {
            let head = try await stream.read(exactly: 9)
            let length = head[..<3].reduce(0) { $0 << 8 | Int($1) }
            let payload = length == 0 ? [] : try await stream.read(exactly: length)
            let number = head[5...].reduce(0) { $0 << 8 | UInt32($1) }
            return Frame(type: head[3], flags: head[4], stream: number, payload: payload)
        } catch let error as BerthError where error.code == .unavailable {
            return nil
        }
    }

    /// The first frame that fits; nil when the connection ends before.
    func first(_ fits: (Frame) -> Bool) async throws -> Frame? {
        while let frame = try await next() { if fits(frame) { return frame } }
        return nil
    }

    /// All frames until the connection ends.
    func rest() async throws -> [Frame] {
        var frames: [Frame] = []
        while let frame = try await next() { frames.append(frame) }
        return frames
    }
}

/// One request with fields and body of the test's choice, and everything that was answered.
final class OddCall: HTTP2Events {
    private(set) var fields: [String: String] = [:]
    private(set) var body: [UInt8] = []
    private(set) var reset: UInt32?
    private var isClosed = false
    private var outgoing: [UInt8]

    /// Makes the call.
    ///
    /// - Parameter body: bytes of the stream as they are, without a prefix of gRPC's.
    init(_ world: World, _ request: [(String, String)], body: [UInt8]) async throws {
        outgoing = body
        let session = try HTTP2Session(isServer: false, GRPCLimits())
        session.events = self
        let stream = try await world.raw()
        _ = try session.submitRequest(request.map { HeaderField($0.0, $0.1) })
        while !isClosed {
            while let part = try session.nextOutput() { try await stream.write(Array(part)) }
            let bytes = try await stream.read(max: 65536)
            if bytes.isEmpty { break }
            try bytes.withUnsafeBytes { try session.receive($0) }
        }
        stream.close()
    }

    func header(_ stream: Int32, name: Bytes, value: Bytes) -> Bool {
        fields[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
        return true
    }
    func data(_ stream: Int32, _ bytes: Bytes) { body += bytes }
    func streamClosed(_ stream: Int32, error: UInt32) {
        reset = error
        isClosed = true
    }
    func fill(_ stream: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> BodyPart {
        let count = min(buffer.count, outgoing.count)
        buffer.copyBytes(from: outgoing[..<count])
        outgoing.removeFirst(count)
        return outgoing.isEmpty ? .end(count, trailers: false) : .bytes(count)
    }
    func headersBegan(_ stream: Int32) {}
    func headersEnded(_ stream: Int32, isLast: Bool) {}
    func streamEnded(_ stream: Int32) {}
    func sentReset(_ error: UInt32) {}
    func sentEnd(_ stream: Int32) {}
    func frameBegan(_ frame: FrameHead) {}
    func pingAnswered() {}
    func goawayReceived(last: Int32, error: UInt32, text: String) {}

    /// The code in `grpc-status`.
    var code: BerthError.Code? { fields["grpc-status"].flatMap { Int32($0) }.flatMap { BerthError.Code(rawValue: $0) } }
}
