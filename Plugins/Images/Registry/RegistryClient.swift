internal import BerthBase
internal import BerthServices

/// Talks to one registry and its mirrors for one caller: authentication, redirects, retries and the choice of server.
struct RegistryClient: Sendable {
    /// The most redirects followed.
    static let maxRedirects = 5
    /// The most tries without progress at the last server; the others get fewer, because there is another one.
    static let maxTries = 5
    static let maxMirrorTries = 2
    /// The most tries of one transfer in all, however much each brings.
    static let maxTriesInAll = 100
    /// Fewer bytes are no progress: a server that sends a trickle before each failure would keep a pull for hours.
    static let minProgress: Int64 = 256 * 1024
    /// The longest pause a server may ask for.
    static let maxPause: Duration = .seconds(20)

    let domain: String
    let repository: String
    let endpoints: [RegistryEndpoint]
    let http: HTTPClient
    let tokens: TokenStore
    let credentials: CredentialSource
    let settings: TransferSettings

    /// The name of the repository, for messages.
    var name: String { "\(domain)/\(repository)" }

    /// Gets something whole from the first server that has it.
    ///
    /// - Parameters:
    ///   - thing: e.g. `manifests/latest`.
    ///   - accept: media types.
    func get(
        _ thing: String, accept: [String], limit: Int, what: String, needs: RegistryEndpoint.Capability
    ) async throws -> (head: HTTPHead, bytes: [UInt8]) {
        try await atFirstServer(what, needs) { endpoint, tries in
            let body = SmallBody(limit: limit, what)
            let head = try await retrying(what, tries) {
                var headers = accept.map { (name: "Accept", value: $0) }
                headers += endpoint.headers
                return try await send(
                    endpoint, endpoint.address(of: repository, thing, in: domain), headers, what, into: body)
            }
            return (head, body.bytes)
        }
    }

    /// Gets a blob from the first server that has it; what was got from one is continued at the next.
    func fetch(_ digest: Digest, into sink: any ResumableSink, what: String) async throws {
        try await atFirstServer(what, .pull) { endpoint, tries in
            let address = endpoint.address(of: repository, "blobs/\(digest)", in: domain)
            try await fetch(sink, tries, what) { headers in
                try await send(endpoint, address, headers + endpoint.headers, what, into: sink)
            }
        }
    }

    /// Gets a blob from an address that a manifest names. No credentials, no certificates of ours.
    func fetch(foreign text: String, into sink: any ResumableSink, what: String) async throws {
        let address = try WebAddress(text)
        let base = WebAddress(scheme: address.scheme, host: address.host, port: address.port, path: "/")
        var stranger = RegistryEndpoint(base: base)
        stranger.dialTimeout = settings.dialTimeout
        let endpoint = stranger
        try await fetch(sink, min(Self.maxMirrorTries, settings.maxTries), what) { headers in
            let answer = try await follow(endpoint, address, headers, what, into: sink, authorization: nil)
            guard answer.head.isSuccess else { throw RegistryStatus.error(answer, "\(what) from '\(address)'") }
        }
    }

    private func fetch(
        _ sink: any ResumableSink, _ tries: Int, _ what: String,
        _ send: @escaping ([(name: String, value: String)]) async throws -> Void
    ) async throws {
        try await retrying(what, tries, progress: { sink.offset }) {
            let offset = sink.offset
            if offset < sink.total || offset == 0 {
                do {
                    try await send(offset > 0 ? [("Range", "bytes=\(offset)-")] : [])
                } catch is RangeIgnored {
                    // The server begins at the beginning, and so must we.
                    try await sink.restart()
                    try await send([])
                }
            }
            guard sink.offset == sink.total else {
                throw BerthError(
                    .dataLoss, "\(what): the server sent \(sink.offset) bytes, not the \(sink.total) of the manifest")
            }
            try await sink.complete()
        }
    }

    // MARK: Servers

    private func atFirstServer<T>(
        _ what: String, _ needs: RegistryEndpoint.Capability,
        _ body: (RegistryEndpoint, _ tries: Int) async throws -> T
    ) async throws -> T {
        let able = endpoints.filter { $0.capabilities.contains(needs) }
        guard let last = able.indices.last else {
            throw BerthError(
                .failedPrecondition, "\(what): no server of '\(domain)' may be used for '\(needs.rawValue)'")
        }
        var failures: [BerthError] = []
        for (index, endpoint) in able.enumerated() {
            do {
                let tries = index == last ? settings.maxTries : min(Self.maxMirrorTries, settings.maxTries)
                return try await body(endpoint, tries)
            } catch let error as BerthError {
                // A full disk or a cancelled caller is the same at every server.
                if error.code == .resourceExhausted || error.code == .cancelled { throw error }
                failures.append(error)
            }
        }
        guard let final = failures.last else { throw BerthError(.internal, "\(what): no server was asked") }
        guard failures.count > 1 else { throw final }
        let earlier = failures.dropLast().map { "(mirror) \($0)" }.joined(separator: "; ")
        throw BerthError(final.code, "\(final.message); before that \(earlier)")
    }

    // MARK: Tries

    /// Tries again after failures that may pass, with growing pauses; progress begins the count anew.
    private func retrying<T>(
        _ what: String, _ tries: Int, progress: () -> Int64 = { 0 }, _ body: () async throws -> T
    ) async throws -> T {
        var failed = 0
        var reached = progress()
        for _ in 1...Self.maxTriesInAll {
            let failure: (error: BerthError, pause: Duration?)
            do { return try await body() } catch let transient as TransientStatus {
                failure = (transient.error, transient.pause)
            } catch let transfer as TransferFailure {
                let error = BerthError(.unavailable, "\(what): \(transfer.message)")
                guard transfer.isTransient else { throw error }
                failure = (error, nil)
            }
            failed = progress() - reached >= Self.minProgress ? 1 : failed + 1
            reached = progress()
            guard failed < tries else {
                throw failed == 1
                    ? failure.error : BerthError(failure.error.code, "\(failure.error.message) (tried \(failed) times)")
            }
            let backoff = settings.firstPause * (1 << min(failed - 1, 6))
            let jittered = backoff + backoff * Double.random(in: 0..<0.25)
            try await Task.sleep(for: min(max(failure.pause ?? .zero, jittered), Self.maxPause))
        }
        throw BerthError(.unavailable, "\(what): it broke off \(Self.maxTriesInAll) times")
    }

    // MARK: One exchange

    /// Sends with what proved who we are before, and answers one challenge.
    @discardableResult
    private func send(
        _ endpoint: RegistryEndpoint, _ address: WebAddress, _ headers: [(name: String, value: String)], _ what: String,
        into sink: any BodySink
    ) async throws -> HTTPHead {
        let credential = try await credentials.credential(for: endpoint.credentialHost)
        let key = TokenStore.Key(
            origin: endpoint.base.origin, scope: "repository:\(repository):pull", credential: credential)
        let known = await tokens.header(for: key)
        var answer = try await follow(endpoint, address, headers, what, into: sink, authorization: known)
        if answer.head.status == 401, let challenge = AuthChallenge.best(of: answer.head.all("www-authenticate")) {
            if let known { await tokens.refuse(known, for: key) }
            let header: String
            do { header = try await tokens.answer(challenge, from: endpoint, for: key, credential) } catch let error
                as BerthError
            {
                guard error.code == .unavailable else { throw error.during(what) }
                throw TransientStatus(error: error.during(what), pause: nil)
            }
            answer = try await follow(endpoint, address, headers, what, into: sink, authorization: header)
            if answer.head.status == 401 { await tokens.refuse(header, for: key) }
        }
        guard answer.head.isSuccess else {
            let hint = credential == nil ? "; no credential is known for '\(endpoint.credentialHost)'" : ""
            let error = RegistryStatus.error(answer, "\(what) from '\(address)'")
            throw BerthError(error.code, error.message + hint)
        }
        return answer.head
    }

    /// Sends and follows redirects. What proves who we are goes to the endpoint alone.
    ///
    /// - Returns: a success, or the endpoint's own 401.
    /// - Throws: for every other answer; `TransientStatus` where another try may help.
    private func follow(
        _ endpoint: RegistryEndpoint, _ address: WebAddress, _ headers: [(name: String, value: String)], _ what: String,
        into sink: any BodySink, authorization: String?
    ) async throws -> HTTPAnswer {
        let secret = Set(endpoint.headers.map(\.name))
        var next = address
        for _ in 0...Self.maxRedirects {
            let isOwn = next.origin == endpoint.base.origin
            var request = HTTPRequest(next)
            request.connectTimeout = min(endpoint.dialTimeout, settings.dialTimeout)
            request.stallTimeout = settings.stallTimeout
            request.tls = isOwn ? endpoint.tls : .system
            request.headers = isOwn ? headers : headers.filter { !secret.contains($0.name) }
            if isOwn, let authorization { request.headers.append(("Authorization", authorization)) }
            let answer = try await http.perform(request, into: sink)
            if answer.head.isSuccess || (answer.head.status == 401 && isOwn) { return answer }
            let place = "\(what) from '\(next)'"
            guard answer.head.isRedirect, let location = answer.head.first("location") else {
                throw failure(answer, place)
            }
            let target: WebAddress
            do { target = try next.resolving(location) } catch let error as BerthError {
                throw BerthError(.unavailable, "\(place): follow its redirect: \(error.message)")
            }
            guard target.scheme == "https" || next.scheme == "http" else {
                throw BerthError(.failedPrecondition, "\(place): it redirects to '\(target)', which has no TLS")
            }
            next = target
        }
        throw BerthError(.unavailable, "\(what): more than \(Self.maxRedirects) redirects")
    }

    private func failure(_ answer: HTTPAnswer, _ what: String) -> any Error {
        let error = RegistryStatus.error(answer, what)
        guard RegistryStatus.isTransient(answer.head.status) else { return error }
        let pause = answer.head.first("retry-after").flatMap { Double($0) }.map {
            Duration.seconds(min(max($0, 0), 3600))
        }
        return TransientStatus(error: error, pause: pause)
    }
}

/// An answer that may be another one next time.
struct TransientStatus: Error {
    let error: BerthError
    /// How long the server asks to wait.
    let pause: Duration?
}

/// A server was asked for the rest of a blob and sent all of it.
struct RangeIgnored: Error {}

/// Takes a blob in pieces and over several tries.
protocol ResumableSink: BodySink {
    /// Drops everything, to begin anew.
    func restart() async throws
    /// Checks and keeps what is whole. After a throw the sink is empty and takes another try.
    /// - Throws: `dataLoss` for other bytes than expected; `TransientStatus` where another try may help.
    func complete() async throws
    /// Bytes so far.
    var offset: Int64 { get }
    /// Bytes in all.
    var total: Int64 { get }
}

/// Limits of transfers.
struct TransferSettings: Sendable {
    var dialTimeout: Duration = .seconds(15)
    var stallTimeout: Duration = .seconds(30)
    var maxTries = RegistryClient.maxTries
    var firstPause: Duration = .milliseconds(200)
}

/// Whose credential goes to which host.
struct CredentialSource: Sendable {
    /// The registry of the reference.
    let domain: String
    /// The caller's own.
    let given: RegistryCredential?
    let docker: DockerConfig

    func credential(for host: String) async throws -> RegistryCredential.Kind? {
        if let given {
            let meant = given.host.map(DockerConfig.host) ?? domain
            if meant == host { return given.kind }
        }
        return try await docker.credential(for: host)
    }
}
