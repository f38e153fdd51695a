internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import Synchronization

/// Makes clients of registries; they share connections and tokens.
final class RegistryClients: Sendable {
    /// How long it is remembered whether a server of this machine speaks TLS.
    static let plainMemory: Duration = .seconds(300)
    /// The most servers remembered.
    static let maxPlainMemory = 256

    private let http = HTTPClient()
    private let tokens: TokenStore
    private let hosts: RegistryHosts
    private let docker: DockerConfig
    private let settings: TransferSettings
    private let plain = Mutex<[String: (isPlain: Bool, since: ContinuousClock.Instant)]>([:])

    init(hosts: RegistryHosts, docker: DockerConfig, settings: TransferSettings) {
        (self.hosts, self.docker, self.settings) = (hosts, docker, settings)
        tokens = TokenStore(client: http)
    }

    /// A client for one caller and one repository.
    func client(
        for reference: ImageReference, _ credential: RegistryCredential?, plainHTTP: Bool
    ) async throws -> RegistryClient {
        let hosts = self.hosts
        var endpoints = try await Blocking.run { try hosts.endpoints(for: reference.domain, plainHTTP: plainHTTP) }
        for index in endpoints.indices where endpoints[index].mayBePlain {
            if try await isPlain(endpoints[index]) { endpoints[index] = endpoints[index].plain }
        }
        return RegistryClient(
            domain: reference.domain, repository: reference.path, endpoints: endpoints, http: http, tokens: tokens,
            credentials: CredentialSource(domain: reference.domain, given: credential, docker: docker),
            settings: settings)
    }

    /// Whether a server of this machine speaks http only: a TLS handshake with it fails.
    private func isPlain(_ endpoint: RegistryEndpoint) async throws -> Bool {
        let known = plain.withLock { $0[endpoint.base.origin] }
        if let known, .now - known.since < Self.plainMemory { return known.isPlain }
        var request = HTTPRequest(endpoint.base)
        request.method = "HEAD"
        request.stallTimeout = .seconds(5)
        request.connectTimeout = .seconds(5)
        var isPlain = false
        do {
            _ = try await http.perform(request, into: SmallBody(limit: 1 << 16, "greet '\(endpoint.base.authority)'"))
        } catch let failure as TransferFailure {
            isPlain = failure.isHandshake
            // Nobody there: the pull itself says so.
            guard isPlain else { return false }
        }
        plain.withLock { plain in
            if plain.count >= Self.maxPlainMemory { plain.removeAll() }
            plain[endpoint.base.origin] = (isPlain, .now)
        }
        return isPlain
    }

    /// Drops connections that have been idle too long.
    func expireIdle() { http.expireIdle() }

    /// Drops all idle connections, for good.
    func close() { http.close() }
}
