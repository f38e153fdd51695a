internal import BerthBase

/// An http or https URL. Its description never has user names, passwords or query values: registries sign their
/// redirects in the query, and errors and logs go to people who must not see that (containerd #12491).
struct WebAddress: Hashable, Sendable, CustomStringConvertible {
    let scheme: String
    /// Lower case; an IPv6 address in its brackets.
    let host: String
    let port: Int
    /// Begins with a slash.
    let path: String
    /// What follows the question mark.
    let query: String?

    /// The longest URL that is followed.
    static let maxLength = 16 * 1024

    init(scheme: String, host: String, port: Int, path: String, query: String? = nil) {
        (self.scheme, self.host, self.port, self.path, self.query) = (scheme, host, port, path, query)
    }

    /// - Throws: `invalidArgument`, without the URL itself in the message.
    init(_ text: String) throws {
        func wrong(_ why: String) -> BerthError { BerthError(.invalidArgument, "a URL cannot be used: \(why)") }
        guard text.utf8.count <= Self.maxLength else { throw wrong("it is longer than \(Self.maxLength) bytes") }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw wrong("a space or a character that is not ASCII")
        }
        guard let mark = text.firstRange(of: "://") else { throw wrong("no '://'") }
        let scheme = text[..<mark.lowerBound].lowercased()
        guard scheme == "http" || scheme == "https" else { throw wrong("its scheme is neither http nor https") }
        let rest = text[mark.upperBound...].prefix { $0 != "#" }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let tail = rest[authority.endIndex...]
        // A user name or password in a URL is dropped: credentials have their own place.
        let place = authority.lastIndex(of: "@").map { authority[authority.index(after: $0)...] } ?? authority
        guard let (host, port) = Self.split(place, scheme) else { throw wrong("no proper host and port") }
        let path = tail.prefix { $0 != "?" }
        self.init(
            scheme: scheme, host: host, port: port, path: path.isEmpty ? "/" : String(path),
            query: path.endIndex < tail.endIndex ? String(tail[tail.index(after: path.endIndex)...]) : nil)
    }

    /// Host and port of `host[:port]`.
    static func split(_ authority: some StringProtocol, _ scheme: String) -> (host: String, port: Int)? {
        var host = String(authority).lowercased()
        var port = scheme == "https" ? 443 : 80
        if let colon = host.lastIndex(of: ":"), !host[colon...].contains("]") {
            let digits = host[host.index(after: colon)...]
            guard let number = Int(digits), (1...65535).contains(number) else { return nil }
            port = number
            host = String(host[..<colon])
        }
        let isAddress = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
        let letters = host.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f
        }
        let digits = isAddress && host.dropFirst().dropLast().allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." }
        guard !host.isEmpty, letters || digits else { return nil }
        return (host, port)
    }

    /// Where a `Location` leads from here (RFC 3986, section 5, without dot segments: servers send none).
    func resolving(_ location: String) throws -> WebAddress {
        if location.firstRange(of: "://") != nil, location.hasPrefix("http") { return try WebAddress(location) }
        if location.hasPrefix("//") { return try WebAddress("\(scheme):\(location)") }
        if location.hasPrefix("/") { return try WebAddress("\(origin)\(location)") }
        let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
        return try WebAddress("\(origin)\(folder)\(location)")
    }

    /// Whom one talks to: `https://host:port`.
    var origin: String { "\(scheme)://\(host):\(port)" }

    /// `host`, or `host:port` if the port is not the scheme's own.
    var authority: String { port == (scheme == "https" ? 443 : 80) ? host : "\(host):\(port)" }

    /// The whole, for the wire only.
    var wireText: String { "\(scheme)://\(authority)\(path)" + (query.map { "?\($0)" } ?? "") }

    /// Without secrets.
    var description: String { "\(scheme)://\(authority)\(path)" + (query == nil ? "" : "?***") }

    /// Whether this machine talks to itself.
    var isLoopback: Bool { Self.isLoopback(host) }

    static func isLoopback(_ host: String) -> Bool {
        host == "localhost" || host == "[::1]"
            || (host.hasPrefix("127.") && host.split(separator: ".").count == 4
                && host.split(separator: ".").allSatisfy { UInt8($0) != nil })
    }
}

extension String {
    /// Escaped for a query's value (RFC 3986, unreserved characters stay).
    var queryEscaped: String {
        let digits = Array("0123456789ABCDEF".utf8)
        var text: [UInt8] = []
        for byte in utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: text.append(byte)
            default: text += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
