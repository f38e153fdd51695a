internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Finds the servers of a registry: containerd's `certs.d/<host>/hosts.toml`, docker's certificates in the same
/// folder, else the registry itself. Files are read for each pull, so a change needs no restart. Blocks.
struct RegistryHosts: Sendable {
    /// The longest `hosts.toml`.
    static let maxFileSize = 1 << 20

    /// Folders with one folder a registry; the first that has the registry's is used.
    let folders: [String]
    /// Registries that are spoken to without TLS.
    let plainHTTP: Set<String>

    /// The servers to try, in order; the registry itself is the last.
    ///
    /// - Throws: `failedPrecondition` for a file that makes no sense, `invalidArgument` for a registry's name.
    func endpoints(for domain: String, plainHTTP asked: Bool = false) throws -> [RegistryEndpoint] {
        let isPlain = asked || plainHTTP.contains(domain)
        let scheme = isPlain ? "http" : "https"
        let name = domain == "docker.io" ? "registry-1.docker.io" : domain
        guard let (host, port) = WebAddress.split(name, scheme) else {
            throw BerthError(.invalidArgument, "registry '\(domain)': no proper host and port")
        }
        let server = WebAddress(scheme: scheme, host: host, port: port, path: "/v2")
        guard let folder = folder(of: domain) else {
            var own = RegistryEndpoint(base: server)
            own.mayBePlain = !isPlain && server.isLoopback
            return [own]
        }
        let file = folder + "/hosts.toml"
        if access(file, F_OK) == 0 {
            let bytes = try attempting("read '\(file)'") { () throws(Errno) in
                try Files.read(file, limit: Self.maxFileSize)
            }
            let text = String(decoding: bytes, as: UTF8.self)
            return try HostsFile(text, file: file, folder: folder, server: server).endpoints
        }
        var own = RegistryEndpoint(base: server)
        own.tls = try certificates(in: folder)
        own.mayBePlain = !isPlain && server.isLoopback && own.tls == .system
        return [own]
    }

    /// `host:port`, or `host_port_` for file systems without colons, else `_default`.
    private func folder(of domain: String) -> String? {
        var names = [domain]
        if let colon = domain.lastIndex(of: ":"), !domain.hasSuffix("]") {
            names.append("\(domain[..<colon])_\(domain[domain.index(after: colon)...])_")
        }
        for name in names + ["_default"] {
            for folder in folders where !name.contains("/") && !name.hasPrefix(".") {
                var status = stat()
                if stat("\(folder)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                    return "\(folder)/\(name)"
                }
            }
        }
        return nil
    }

    /// Docker's way: `*.crt` are authorities, `NAME.cert` with `NAME.key` is our own certificate.
    private func certificates(in folder: String) throws -> TLSSettings {
        var tls = TLSSettings.system
        let names = try attempting("list '\(folder)'") { () throws(Errno) in try Files.names(in: folder).sorted() }
        tls.authorities = names.filter { $0.hasSuffix(".crt") }.map { "\(folder)/\($0)" }
        if let name = names.first(where: { $0.hasSuffix(".cert") }) {
            let key = name.dropLast(5) + ".key"
            guard names.contains(String(key)) else {
                throw BerthError(.failedPrecondition, "use '\(folder)/\(name)': its key '\(key)' is missing")
            }
            tls.client = .init(certificate: "\(folder)/\(name)", key: "\(folder)/\(key)")
        }
        return tls
    }
}
