internal import BerthBase
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Credentials as `docker login` keeps them: `config.json` with its `auths`, and credential helpers.
struct DockerConfig: Sendable {
    /// The longest file.
    static let maxFileSize = 4 << 20
    /// How long a credential helper may take.
    static let helperDeadline: Duration = .seconds(20)

    let path: String

    /// The credential for a host (`host[:port]`, `docker.io` for docker's registry), if there is one.
    ///
    /// - Throws: `failedPrecondition` for a file that cannot be used or a helper that fails.
    func credential(for host: String) async throws -> RegistryCredential.Kind? {
        guard !path.isEmpty else { return nil }
        let path = self.path
        let bytes = try await Blocking.run { () -> [UInt8]? in
            guard access(path, F_OK) == 0 else { return nil }
            return try attempting("read '\(path)'") { () throws(Errno) in try Files.read(path, limit: Self.maxFileSize)
            }
        }
        guard let bytes else { return nil }
        let json: JSONValue
        do { json = try JSONValue(parsing: bytes) } catch let error as BerthError {
            throw BerthError(.failedPrecondition, "read '\(path)': \(error.message)")
        }
        let helper = json["credHelpers"]?.object?.first { Self.host(of: $0.key) == host }?.value.string
        if let helper, !helper.isEmpty { return try await ask(helper, host) }
        if let store = json["credsStore"]?.string, !store.isEmpty {
            if let found = try await ask(store, host) { return found }
        }
        let entry = json["auths"]?.object?.sorted { $0.key < $1.key }.first { Self.host(of: $0.key) == host }?.value
        return try entry.flatMap { try Self.credential($0, path, host) }
    }

    /// `https://index.docker.io/v1/` is `docker.io`; others lose scheme and path.
    static func host(of key: String) -> String {
        var rest = Substring(key)
        if let mark = rest.firstRange(of: "://") { rest = rest[mark.upperBound...] }
        let host = rest.prefix { $0 != "/" }.lowercased()
        return ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"].contains(host)
            ? "docker.io" : host
    }

    private static func credential(_ entry: JSONValue, _ path: String, _ host: String) throws -> RegistryCredential
        .Kind?
    {
        if let token = entry["registrytoken"]?.string, !token.isEmpty { return .registryToken(token) }
        if let token = entry["identitytoken"]?.string, !token.isEmpty { return .identityToken(token) }
        if let auth = entry["auth"]?.string, !auth.isEmpty {
            guard let bytes = Base64.decode(auth), let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else {
                throw BerthError(
                    .failedPrecondition, "read '\(path)': the 'auth' of '\(host)' is not base64 of user:password")
            }
            let password = bytes[bytes.index(after: colon)...].filter { $0 != 0 }
            return .basic(
                username: String(decoding: bytes[..<colon], as: UTF8.self),
                password: String(decoding: password, as: UTF8.self))
        }
        guard let user = entry["username"]?.string, let password = entry["password"]?.string, !user.isEmpty else {
            return nil
        }
        return .basic(username: user, password: password)
    }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Runs `docker-credential-NAME get`. Source: docker's credential helper protocol.
    private func ask(_ name: String, _ host: String) async throws -> RegistryCredential.Kind? {
        guard name.utf8.allSatisfy({ $0 > 0x2c && $0 < 0x7f && $0 != 0x2f }), !name.hasPrefix(".") else {
            throw BerthError(
                .failedPrecondition, "read '\(path)': '\(name.prefix(80))' is no name of a credential helper")
        }
        let server = host == "docker.io" ? "https://index.docker.io/v1/" : host
        let outcome = try await Blocking.run(
            on: Blocking.foreign, "ask credential helper '\(name)'", deadline: Self.helperDeadline + .seconds(5)
        ) {
            let program = "docker-credential-\(name)"
            let search = Self.variable("PATH") ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            let places = search.split(separator: ":").map { "\($0)/\(program)" }
            guard let path = places.first(where: { access($0, X_OK) == 0 }) else {
                throw BerthError(.failedPrecondition, "ask credential helper '\(name)': no '\(program)' in PATH")
            }
            let home = Self.variable("HOME") ?? "/root"
            var command = ChildProcess.Command(
                path, ["get"], environment: ["PATH=\(search)", "HOME=\(home)"], input: Array(server.utf8),
                deadline: Self.helperDeadline)
            command.outputLimit = 1 << 20
            return try ChildProcess.run(command)
        }
        guard outcome.status == 0 else {
            let told = String(decoding: outcome.output.prefix(200), as: UTF8.self).lowercased()
            // The protocol's words for "I know nothing about that".
            if told.contains("credentials not found") { return nil }
            throw BerthError(
                .failedPrecondition, "ask credential helper '\(name)' about '\(host)': it ended with \(outcome.status)")
        }
        guard let json = try? JSONValue(parsing: outcome.output), let secret = json["Secret"]?.string else {
            throw BerthError(
                .failedPrecondition, "ask credential helper '\(name)' about '\(host)': its answer makes no sense")
        }
        let user = json["Username"]?.string ?? ""
        return user == "<token>" ? .identityToken(secret) : .basic(username: user, password: secret)
    }
}
