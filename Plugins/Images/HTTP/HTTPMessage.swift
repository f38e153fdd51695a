internal import BerthBase
internal import Synchronization

/// How a host proves who it is, and how we do.
struct TLSSettings: Hashable, Sendable {
    /// Files of certificate authorities that are trusted instead of the system's; empty: the system's.
    var authorities: [String] = []
    /// Our own certificate and key.
    var client: ClientCertificate?
    /// Whether anybody is believed.
    var skipVerify = false

    struct ClientCertificate: Hashable, Sendable {
        var certificate: String
        /// Nil: in the same file.
        var key: String?
    }

    static let system = TLSSettings()
}

/// One request, without redirects: those are followed by hand, so that no secret goes astray.
struct HTTPRequest: Sendable {
    var method = "GET"
    var address: WebAddress
    var headers: [(name: String, value: String)] = []
    var body: [UInt8]?
    var tls = TLSSettings.system
    /// How long connecting may take.
    var connectTimeout: Duration = .seconds(15)
    /// How long nothing may arrive.
    var stallTimeout: Duration = .seconds(30)

    init(_ address: WebAddress) { self.address = address }
}

/// Status and headers of an answer.
struct HTTPHead: Sendable {
    var status = 0
    /// Names in lower case; of several of one name all, in order.
    var headers: [(name: String, value: String)] = []

    func first(_ name: String) -> String? { headers.first { $0.name == name }?.value }
    func all(_ name: String) -> [String] { headers.filter { $0.name == name }.map(\.value) }
    var isRedirect: Bool { [301, 302, 303, 307, 308].contains(status) }
    var isSuccess: Bool { (200..<300).contains(status) }

    /// The media type without parameters.
    var contentType: String? {
        first("content-type").flatMap { text in
            let type = text.prefix { $0 != ";" }.trimmed.lowercased()
            return type.isEmpty ? nil : type
        }
    }
}

extension StringProtocol {
    /// Without white space at both ends.
    var trimmed: String {
        var text = Substring(self)
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
}

/// What takes the body of a successful answer, on a thread that may block.
protocol BodySink: AnyObject, Sendable {
    /// Called once the headers are here, before the first byte.
    func begin(_ head: HTTPHead) throws
    /// Takes bytes, in pieces of up to half a megabyte.
    func receive(_ bytes: UnsafeRawBufferPointer) throws
}

/// Keeps a body of a limited size in memory.
final class SmallBody: BodySink {
    private let limit: Int
    private let what: String
    private let content = Mutex<[UInt8]>([])

    init(limit: Int, _ what: String) {
        self.limit = limit
        self.what = what
    }

    var bytes: [UInt8] { content.withLock { $0 } }

    func begin(_ head: HTTPHead) throws {
        content.withLock { $0.removeAll() }
        if let length = head.first("content-length").flatMap({ Int($0) }), length > limit { throw tooLong }
    }

    func receive(_ bytes: UnsafeRawBufferPointer) throws {
        try content.withLock { content in
            guard content.count + bytes.count <= limit else { throw tooLong }
            content.append(contentsOf: bytes)
        }
    }

    private var tooLong: BerthError {
        BerthError(.resourceExhausted, "\(what) is longer than the limit of \(limit) bytes")
    }
}

/// A transfer that failed below HTTP.
struct TransferFailure: Error, Sendable {
    let message: String
    /// Whether another try may help.
    let isTransient: Bool
    /// The other side did not speak TLS.
    var isHandshake = false
    /// Nothing arrived for too long.
    var isStall = false
}
