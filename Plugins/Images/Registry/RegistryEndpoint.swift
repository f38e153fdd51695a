internal import BerthBase

/// One server that may have a repository's content: the registry itself or a mirror of it.
struct RegistryEndpoint: Sendable {
    enum Capability: String, Sendable, CaseIterable { case pull, resolve, push }

    /// Scheme, host and port; the path is what requests begin with, `/v2` unless configured otherwise.
    var base: WebAddress
    var capabilities: Set<Capability> = [.pull, .resolve, .push]
    var tls = TLSSettings.system
    /// Sent with every request to this server, and to no other.
    var headers: [(name: String, value: String)] = []
    var dialTimeout: Duration = .seconds(15)
    /// A mirror is told whose content is wanted.
    var isMirror = false
    /// A server on this machine that may not speak TLS: found out at the first request.
    var mayBePlain = false

    /// The host whose credentials are used: docker's name of its registry for that registry's servers.
    var credentialHost: String {
        ["registry-1.docker.io", "index.docker.io"].contains(base.authority) ? "docker.io" : base.authority
    }

    /// The address of something in a repository, e.g. `manifests/latest`.
    func address(of repository: String, _ thing: String, in domain: String) -> WebAddress {
        let path = (base.path == "/" ? "" : base.path) + "/\(repository)/\(thing)"
        let query = isMirror && base.authority != domain ? "ns=\(domain.queryEscaped)" : nil
        return WebAddress(scheme: base.scheme, host: base.host, port: base.port, path: path, query: query)
    }

    /// The same server without TLS.
    var plain: RegistryEndpoint {
        var copy = self
        copy.base = WebAddress(scheme: "http", host: base.host, port: base.port, path: base.path)
        copy.mayBePlain = false
        return copy
    }
}
