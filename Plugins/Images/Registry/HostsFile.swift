internal import BerthBase
internal import BerthTOML

/// containerd's `hosts.toml`: the servers to try for a registry, in order. Source: containerd's registry
/// configuration, "hosts.toml".
struct HostsFile {
    /// The tables under `host`, in order, and then the `server`, if one is named.
    var endpoints: [RegistryEndpoint] = []

    /// - Parameters:
    ///   - folder: what relative paths of certificates are relative to.
    ///   - server: where requests go when the file names no server; nil for the `_default` of a registry.
    /// - Throws: `failedPrecondition` with file, line and column.
    init(_ text: String, file: String, folder: String, server: WebAddress) throws {
        do {
            let table = try TOMLParser.parse(text, file: file)
            let reader = Reader(folder: folder)
            try reader.check(table, Reader.hostKeys.union(["server", "host"]))
            if let hosts = table["host"] {
                guard let tables = hosts.table else { throw TOMLProblem(hosts.position, "'host' must be a table") }
                for name in tables.keys {
                    guard let node = tables[name] else { continue }
                    guard let settings = node.table else {
                        throw TOMLProblem(node.position, "'\(name)' must be a table")
                    }
                    try reader.check(settings, Reader.hostKeys)
                    var endpoint = try reader.endpoint(name, at: node.position, settings)
                    endpoint.isMirror = true
                    endpoints.append(endpoint)
                }
            }
            var own = RegistryEndpoint(base: server)
            if let node = table["server"] {
                guard let name = node.string else { throw TOMLProblem(node.position, "'server' must be a string") }
                own.base = try reader.base(name, at: node.position, table)
            } else if let node = table["override_path"] {
                throw TOMLProblem(node.position, "'override_path' needs 'server'")
            }
            try reader.read(table, into: &own)
            endpoints.append(own)
        } catch let problem as TOMLProblem {
            throw BerthError(.failedPrecondition, "read registry hosts: \(problem)")
        } catch let problems as TOMLProblems {
            throw BerthError(.failedPrecondition, "read registry hosts: \(problems)")
        }
    }
}

private struct Reader {
    static let hostKeys: Set<String> = [
        "capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout",
    ]

    let folder: String

    func check(_ table: TOMLTable, _ known: Set<String>) throws {
        for key in table.keys where !known.contains(key) {
            let hint = nearest(to: key, among: known).map { "; did you mean '\($0)'?" } ?? ""
            throw TOMLProblem(
                table[key]?.position ?? .init(file: "", line: 0, column: 0), "unknown key '\(key)'\(hint)")
        }
    }

    /// A host table's name: a URL, or a host that is spoken to with TLS.
    func endpoint(_ name: String, at position: SourcePosition, _ table: TOMLTable) throws -> RegistryEndpoint {
        var endpoint = RegistryEndpoint(base: try base(name, at: position, table))
        try read(table, into: &endpoint)
        return endpoint
    }

    func base(_ name: String, at position: SourcePosition, _ table: TOMLTable) throws -> WebAddress {
        do {
            let address = try WebAddress(name.contains("://") ? name : "https://\(name)")
            var path = address.path
            while path.hasSuffix("/") { path.removeLast() }
            let overrides = try bool(table["override_path"]) ?? false
            if !overrides, !path.hasSuffix("/v2") { path += "/v2" }
            return WebAddress(scheme: address.scheme, host: address.host, port: address.port, path: path)
        } catch let error as BerthError {
            throw TOMLProblem(position, error.message)
        }
    }

    func read(_ table: TOMLTable, into endpoint: inout RegistryEndpoint) throws {
        if let node = table["capabilities"] {
            endpoint.capabilities = Set(
                try strings(node).map { name in
                    guard let known = RegistryEndpoint.Capability(rawValue: name) else {
                        throw TOMLProblem(
                            node.position, "unknown capability '\(name)': there are pull, resolve and push")
                    }
                    return known
                })
        }
        if let node = table["ca"] { endpoint.tls.authorities = try strings(node).map(path) }
        if let node = table["client"] { endpoint.tls.client = try client(node) }
        endpoint.tls.skipVerify = try bool(table["skip_verify"]) ?? endpoint.tls.skipVerify
        if let node = table["header"] { endpoint.headers = try headers(node) }
        if let node = table["dial_timeout"] {
            guard let text = node.string, let duration = Self.duration(text) else {
                throw TOMLProblem(node.position, "'dial_timeout' must be a time such as \"3s\" or \"500ms\"")
            }
            endpoint.dialTimeout = duration
        }
    }

    private func bool(_ node: TOMLNode?) throws -> Bool? {
        guard let node else { return nil }
        guard let value = node.boolean else {
            throw TOMLProblem(node.position, "it must be true or false, not \(node.kind)")
        }
        return value
    }

    private func strings(_ node: TOMLNode) throws -> [String] {
        if let one = node.string { return [one] }
        guard let items = node.array else { throw TOMLProblem(node.position, "it must be a string or a list of them") }
        return try items.map { item in
            guard let text = item.string else {
                throw TOMLProblem(item.position, "it must be a string, not \(item.kind)")
            }
            return text
        }
    }

    private func path(_ path: String) -> String { path.hasPrefix("/") ? path : "\(folder)/\(path)" }

    /// A file with certificate and key, or a list of such, or of pairs. The first is used: libcurl takes one.
    private func client(_ node: TOMLNode) throws -> TLSSettings.ClientCertificate {
        let certificates: [TLSSettings.ClientCertificate]
        if let one = node.string {
            certificates = [.init(certificate: path(one), key: nil)]
        } else if let items = node.array {
            certificates = try items.map { item in
                if let one = item.string { return .init(certificate: path(one), key: nil) }
                let pair = try strings(item)
                guard (1...2).contains(pair.count) else {
                    throw TOMLProblem(item.position, "it must be a certificate and its key")
                }
                return .init(certificate: path(pair[0]), key: pair.count == 2 && !pair[1].isEmpty ? path(pair[1]) : nil)
            }
        } else {
            throw TOMLProblem(node.position, "'client' must be a string or a list")
        }
        guard certificates.count == 1, let first = certificates.first else {
            throw TOMLProblem(node.position, "'client' must name one certificate, not \(certificates.count)")
        }
        return first
    }

    private func headers(_ node: TOMLNode) throws -> [(name: String, value: String)] {
        guard let table = node.table else { throw TOMLProblem(node.position, "'header' must be a table") }
        return try table.keys.flatMap { name -> [(name: String, value: String)] in
            guard let node = table[name] else { return [] }
            guard name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x3a }), !name.isEmpty else {
                throw TOMLProblem(node.position, "'\(name)' is no name of a header")
            }
            return try strings(node).map { value in
                guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                    throw TOMLProblem(node.position, "a header must be one line")
                }
                return (name, value)
            }
        }
    }

    /// Go's form of a time in one unit: `500ms`, `3s`, `1m`.
    private static func duration(_ text: String) -> Duration? {
        for (unit, nanoseconds) in [
            ("ms", 1_000_000), ("us", 1000), ("ns", 1), ("s", 1_000_000_000), ("m", 60_000_000_000),
        ]
        where text.hasSuffix(unit) {
            guard let count = Double(text.dropLast(unit.count)), count >= 0, count < 1e6 else { return nil }
            return .nanoseconds(Int64(count * Double(nanoseconds)))
        }
        return nil
    }
}
