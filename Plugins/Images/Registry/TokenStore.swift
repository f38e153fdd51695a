internal import BerthBase
internal import BerthDigest
internal import BerthServices

/// How to prove who we are to each server, learnt from its challenges; tokens are kept while they are good.
actor TokenStore {
    /// The most tokens kept.
    static let maxTokens = 1024
    /// How long a token is good if the server does not say. Source: distribution's token specification.
    static let defaultLifetime: Duration = .seconds(60)
    /// A token that ends this soon is not used.
    static let margin: Duration = .seconds(10)
    /// The longest answer of a token server.
    static let maxAnswer = 1 << 20

    /// Whom a proof is for: server, what may be done, and who asks.
    struct Key: Hashable, Sendable {
        let origin: String
        let scope: String
        /// A digest of the credential; empty for nobody's.
        let who: String

        init(origin: String, scope: String, credential: RegistryCredential.Kind?) {
            self.origin = origin
            self.scope = scope
            let text =
                switch credential {
                case nil: ""
                case .basic(let user, let password): "basic \(user.utf8.count) \(user) \(password)"
                case .identityToken(let token): "identity \(token)"
                case .registryToken(let token): "registry \(token)"
                }
            who = text.isEmpty ? "" : (try? ContentHash.digest(of: Array(text.utf8)).hex) ?? text
        }
    }

    private struct Proof {
        let header: String
        let until: ContinuousClock.Instant?
    }

    private let client: HTTPClient
    private var proofs: [Key: Proof] = [:]
    private var fetching: [Key: Task<Proof, any Error>] = [:]

    init(client: HTTPClient) { self.client = client }

    /// The `Authorization` that worked before, if it still is good.
    func header(for key: Key) -> String? {
        guard let proof = proofs[key] else { return nil }
        if let until = proof.until, until - .now < Self.margin {
            proofs[key] = nil
            return nil
        }
        return proof.header
    }

    /// Forgets a proof that was refused.
    func refuse(_ header: String, for key: Key) {
        if proofs[key]?.header == header { proofs[key] = nil }
    }

    /// Answers a challenge. Callers with the same key share one request to the token server.
    ///
    /// - Throws: `unauthenticated`, `permissionDenied`, `unavailable`.
    func answer(
        _ challenge: AuthChallenge, from endpoint: RegistryEndpoint, for key: Key,
        _ credential: RegistryCredential.Kind?
    ) async throws -> String {
        switch (challenge, credential) {
        case (_, .registryToken(let token)): return "Bearer \(token)"
        case (.basic, .basic(let user, let password)):
            let header = "Basic " + Base64.encode(Array("\(user):\(password)".utf8))
            keep(Proof(header: header, until: nil), key)
            return header
        case (.basic, _):
            throw BerthError(.unauthenticated, "registry '\(endpoint.base.authority)' wants a user name and a password")
        case (.bearer(let realm, let service, let scope), _):
            let wanted = TokenRequest(
                realm: realm, service: service, scope: scope.isEmpty ? key.scope : scope, credential: credential)
            let task = fetching[key] ?? Task { try await fetch(wanted, endpoint) }
            fetching[key] = task
            defer { fetching[key] = nil }
            let proof = try await task.value
            keep(proof, key)
            return proof.header
        }
    }

    private func keep(_ proof: Proof, _ key: Key) {
        if proofs.count >= Self.maxTokens, proofs[key] == nil {
            let now = ContinuousClock.now
            proofs = proofs.filter { $0.value.until.map { $0 > now } ?? true }
            if proofs.count >= Self.maxTokens { proofs.removeAll() }
        }
        proofs[key] = proof
    }

    private struct TokenRequest: Sendable {
        let realm: String
        let service: String
        let scope: String
        let credential: RegistryCredential.Kind?
    }

    private func fetch(_ wanted: TokenRequest, _ endpoint: RegistryEndpoint) async throws -> Proof {
        let address: WebAddress
        do { address = try WebAddress(wanted.realm) } catch let error as BerthError {
            throw BerthError(
                .unavailable, "get a token for registry '\(endpoint.base.authority)': its realm: \(error.message)")
        }
        // A registry that speaks TLS does not get to have passwords sent in the clear (CVE-2020-15157).
        guard address.scheme == "https" || endpoint.base.scheme == "http" else {
            throw BerthError(
                .unauthenticated,
                "get a token from '\(address)': registry '\(endpoint.base.authority)' has TLS, its token server has not"
            )
        }
        let what = "get a token from '\(address)'"
        var request = HTTPRequest(address)
        // The registry's own certificates count for its own host only.
        request.tls = address.host == endpoint.base.host ? endpoint.tls : .system
        request.connectTimeout = endpoint.dialTimeout
        let query = "service=\(wanted.service.queryEscaped)&scope=\(wanted.scope.queryEscaped)"
        if case .identityToken(let token)? = wanted.credential {
            request.method = "POST"
            request.headers = [("Content-Type", "application/x-www-form-urlencoded")]
            let form = "grant_type=refresh_token&client_id=berth&\(query)&refresh_token=\(token.queryEscaped)"
            request.body = Array(form.utf8)
        } else {
            let own = address.query.map { $0 + "&" } ?? ""
            request.address = WebAddress(
                scheme: address.scheme, host: address.host, port: address.port, path: address.path, query: own + query)
            if case .basic(let user, let password)? = wanted.credential {
                request.headers = [("Authorization", "Basic " + Base64.encode(Array("\(user):\(password)".utf8)))]
            }
        }
        let body = SmallBody(limit: Self.maxAnswer, what)
        let answer: HTTPAnswer
        do { answer = try await client.perform(request, into: body) } catch let failure as TransferFailure {
            throw BerthError(.unavailable, "\(what): \(failure.message)")
        }
        guard answer.head.isSuccess else { throw RegistryStatus.error(answer, what) }
        return try Self.proof(body.bytes, what)
    }

    private static func proof(_ bytes: [UInt8], _ what: String) throws -> Proof {
        guard let json = try? JSONValue(parsing: bytes),
            let token = json["token"]?.string ?? json["access_token"]?.string, !token.isEmpty,
            token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { throw BerthError(.unavailable, "\(what): its answer has no token") }
        let lifetime = json["expires_in"]?.integer.map { Duration.seconds(min(max($0, 0), 86_400)) } ?? defaultLifetime
        return Proof(header: "Bearer \(token)", until: .now + lifetime)
    }
}

/// What a registry's status means.
enum RegistryStatus {
    static func error(_ answer: HTTPAnswer, _ what: String) -> BerthError {
        let status = answer.head.status
        let code: BerthError.Code =
            switch status {
            case 401: .unauthenticated
            case 403: .permissionDenied
            case 404, 410: .notFound
            case 408, 429, 500...599: .unavailable
            default: .unknown
            }
        let names = [401: "not authenticated", 403: "access refused", 404: "not found", 429: "too many requests"]
        let reason = names[status].map { " (\($0))" } ?? ""
        return BerthError(code, "\(what): the server answered \(status)\(reason)\(codes(answer.complaint))")
    }

    /// The error codes of a registry's answer (`MANIFEST_UNKNOWN`). Its messages may quote anything and stay out.
    private static func codes(_ complaint: [UInt8]) -> String {
        let items = (try? JSONValue(parsing: complaint))?["errors"]?.array ?? []
        let codes = items.prefix(4).compactMap { $0["code"]?.string }.filter { code in
            (1...64).contains(code.utf8.count) && code.utf8.allSatisfy { (0x41...0x5a).contains($0) || $0 == 0x5f }
        }
        return codes.isEmpty ? "" : ", \(codes.joined(separator: ", "))"
    }

    /// Whether another try may help.
    static func isTransient(_ status: Int) -> Bool { [408, 429, 500, 502, 503, 504].contains(status) }
}
