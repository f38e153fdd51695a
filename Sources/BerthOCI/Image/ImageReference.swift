package import BerthBase

/// The name of an image in a registry, in its normalised form: `busybox` is `docker.io/library/busybox:latest`.
///
/// Source: the reference grammar of the OCI distribution project; docker's rules for names without a domain.
package struct ImageReference: Hashable, Sendable, CustomStringConvertible {
    /// The longest name (domain and path).
    package static let maxNameLength = 255

    /// The registry's `host[:port]`; `docker.io` for names without one.
    package let domain: String
    /// The repository within the registry.
    package let path: String
    /// The tag; nil if only a digest was given.
    package let tag: String?
    /// The digest of the manifest or index, if one was given.
    package let digest: Digest?

    /// Parses and normalises.
    ///
    /// - Throws: `invalidArgument` that names the reference and what is wrong with it.
    package init(_ text: String) throws {
        func wrong(_ why: String) -> BerthError {
            BerthError(.invalidArgument, "image reference '\(text.prefix(300))': \(why)")
        }
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { throw wrong("only printable ASCII may be in it") }
        var rest = Substring(text)
        var digest: Digest?
        if let at = rest.lastIndex(of: "@") {
            do { digest = try Digest(String(rest[rest.index(after: at)...])) } catch let error as BerthError {
                throw wrong(error.message)
            }
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
            guard Self.isTag(tag ?? "") else {
                throw wrong("the tag must be 1 to 128 of letters, digits, '_', '.', '-'")
            }
        }
        guard !rest.isEmpty else { throw wrong("the name is empty") }
        let (domain, path) = Self.split(rest)
        guard Self.isDomain(domain) else { throw wrong("'\(domain)' is no host name") }
        guard Self.isPath(path) else {
            throw wrong("a repository has lower-case letters, digits and single '.', '_', '__' or '-' between them")
        }
        guard domain.utf8.count + 1 + path.utf8.count <= Self.maxNameLength else {
            throw wrong("the name is longer than \(Self.maxNameLength) characters")
        }
        guard
            !(domain == "docker.io" && !text.contains("/") && path.utf8.count == 64 + 8
                && path.dropFirst(8).allSatisfy(\.isHexDigit))
        else { throw wrong("64 hex digits are an ID, not a name") }
        self.domain = domain
        self.path = path
        self.tag = tag ?? (digest == nil ? "latest" : nil)
        self.digest = digest
    }

    private init(domain: String, path: String, digest: Digest) {
        (self.domain, self.path, tag, self.digest) = (domain, path, nil, digest)
    }

    /// The first part is a domain if it has a dot, a colon or a capital, or is `localhost`.
    private static func split(_ name: Substring) -> (domain: String, path: String) {
        if let slash = name.firstIndex(of: "/") {
            let first = name[..<slash]
            let isDomain =
                first.contains(".") || first.contains(":") || first == "localhost" || first.hasPrefix("[")
                || first.contains(where: \.isUppercase)
            if isDomain {
                let rest = String(name[name.index(after: slash)...])
                guard first == "docker.io" || first == "index.docker.io" else { return (String(first), rest) }
                return ("docker.io", rest.contains("/") ? rest : "library/" + rest)
            }
            return ("docker.io", String(name))
        }
        return ("docker.io", "library/" + name)
    }

    private static func isTag(_ tag: String) -> Bool {
        guard (1...128).contains(tag.utf8.count), let first = tag.utf8.first else { return false }
        return isWord(first) && tag.utf8.allSatisfy { isWord($0) || $0 == 0x2e || $0 == 0x2d }
    }

    private static func isWord(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || byte == 0x5f }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
    }

    private static func isDomain(_ domain: String) -> Bool {
        var host = Substring(domain)
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return false }
            let address = host[host.index(after: host.startIndex)..<end]
            guard !address.isEmpty, address.allSatisfy({ $0.isHexDigit || $0 == ":" }) else { return false }
            host = host[host.index(after: end)...]
            return host.isEmpty || (host.first == ":" && isPort(host.dropFirst()))
        }
        if let colon = host.lastIndex(of: ":") {
            guard isPort(host[host.index(after: colon)...]) else { return false }
            host = host[..<colon]
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.last else { return false }
            return isAlphanumeric(first) && isAlphanumeric(last)
                && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2d }
        }
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } && UInt16(text) != nil
    }

    /// Components of lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
    private static func isPath(_ path: String) -> Bool {
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { component in
            var separator = ""
            var started = false
            for character in component {
                if character.isASCII, character.isLowercase || character.isNumber {
                    let dashes = separator.allSatisfy { $0 == "-" }
                    guard separator.isEmpty || (started && (dashes || [".", "_", "__"].contains(separator))) else {
                        return false
                    }
                    separator = ""
                    started = true
                } else if [".", "_", "-"].contains(character) {
                    separator.append(character)
                } else {
                    return false
                }
            }
            return started && separator.isEmpty
        }
    }

    /// `domain/path`.
    package var name: String { "\(domain)/\(path)" }

    /// `domain/path[:tag][@digest]`.
    package var description: String {
        name + (tag.map { ":" + $0 } ?? "") + (digest.map { "@\($0)" } ?? "")
    }

    /// The same repository's content by digest: `domain/path@digest`.
    package func pinned(to digest: Digest) -> ImageReference {
        ImageReference(domain: domain, path: path, digest: digest)
    }
}
