import BerthBase
import BerthServices
import BerthSystem
import Glibc
import Testing

/// Who is believed, and who gets to see a secret.
@Suite struct AuthenticationTests {
    private static let basic = "Basic dXNlcjpzZWNyZXQ="

    private func inAuthWorld(
        _ options: String, config: String = "",
        _ body: (World, HostileRegistry, ImageLayout, Services) async throws -> Void
    ) async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            try layout.finish(
                try layout.image([
                    try layout.layer(ImageLayout.files(["a": "one"])),
                    try layout.layer(ImageLayout.files(["b": "two"])),
                ]))
            let registry = try await HostileRegistry(layout, in: world.folder, options)
            world.with { registry.end() }
            try await body(world, registry, layout, try await world.start(config))
        }
    }

    private let user = RegistryCredential(.basic(username: "user", password: "secret"))

    @Test func `a user name and a password`() async throws {
        try await inAuthWorld("--auth basic") { _, registry, _, services in
            _ = try await services.pull("\(registry.host)/x:1", credential: user)
            // Learnt once, sent at once from then on.
            #expect(registry.requests.filter { $0.path.contains("/x/") && $0.authorization == nil }.count == 1)
        }
    }

    @Test func `without a credential the error says so`() async throws {
        try await inAuthWorld("--auth basic") { _, registry, _, services in
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == .unauthenticated)
            let wrong = RegistryCredential(.basic(username: "user", password: "hush"))
            let second = await failure { _ = try await services.pull("\(registry.host)/x:1", credential: wrong) }
            #expect(second?.code == .unauthenticated && second?.message.contains("hush") == false)
        }
    }

    @Test func `a token is asked for once and used for everything`() async throws {
        try await inAuthWorld("--auth bearer") { _, registry, _, services in
            _ = try await services.pull("\(registry.host)/x:1", credential: user)
            let asked = registry.requests.filter { $0.path == "/token" }
            #expect(asked.map(\.authorization) == [Self.basic])
            #expect(asked.first?.query == "service=test&scope=repository%3Ax%3Apull")
            #expect(registry.requests.filter { $0.path.contains("/x/") && $0.authorization == Self.basic }.isEmpty)
            let before = registry.requests.count
            _ = try await services.pull("\(registry.host)/x:1", credential: user)
            #expect(registry.requests.dropFirst(before).filter { $0.path == "/token" }.isEmpty)
        }
    }

    @Test func `nobody gets a token where that is allowed`() async throws {
        try await inAuthWorld("--auth bearer --anonymous") { _, registry, _, services in
            _ = try await services.pull("\(registry.host)/x:1")
            #expect(registry.requests.filter { $0.path == "/token" }.map(\.authorization) == [nil])
        }
    }

    @Test func `a refresh token is exchanged`() async throws {
        try await inAuthWorld("--auth bearer") { _, registry, _, services in
            _ = try await services.pull(
                "\(registry.host)/x:1", credential: RegistryCredential(.identityToken("refresh-me")))
            #expect(registry.requests.filter { $0.path == "/token" }.map(\.method) == ["POST"])
            let error = await failure {
                _ = try await services.pull(
                    "\(registry.host)/x:1", credential: RegistryCredential(.identityToken("hush")))
            }
            #expect(error?.code == .unauthenticated && error?.message.contains("hush") == false)
        }
    }

    @Test func `a token that has run out is replaced`() async throws {
        try await inAuthWorld("--auth bearer --lifetime 1") { _, registry, _, services in
            _ = try await services.pull("\(registry.host)/x:1", credential: user)
            #expect(registry.requests.filter { $0.path == "/token" }.count > 1)
        }
    }

    @Test func `one caller's credential is not another's`() async throws {
        try await inAuthWorld("--auth bearer") { _, registry, _, services in
            _ = try await services.pull("\(registry.host)/x:1", credential: user)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1", namespace: "other") }
            #expect(error?.code == .unauthenticated)
        }
    }

    @Test func `a credential goes to its host alone`() async throws {
        try await inAuthWorld("--auth basic") { world, registry, layout, services in
            let other = try await HostileRegistry(layout, in: world.folder, "--auth basic")
            world.with { other.end() }
            // A redirect to another server: followed without the password, and its 401 gets none either.
            try registry.rules(#"{"path": "GET .*/blobs/", "redirect": "http://\#(other.host)/v2/x{path}?sig=hush"}"#)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1", credential: user) }
            #expect(error?.code == .unauthenticated && error?.message.contains("hush") == false)
            #expect(!other.requests.isEmpty && other.requests.allSatisfy { $0.authorization == nil })
            // A credential for another host is not sent here.
            let elsewhere = RegistryCredential(.basic(username: "user", password: "secret"), host: "registry.example")
            let second = await failure { _ = try await services.pull("\(registry.host)/x:1", credential: elsewhere) }
            #expect(second?.code == .unauthenticated)
        }
    }

    @Test func `a redirect to another server works without credentials`() async throws {
        try await inAuthWorld("--auth bearer") { world, registry, layout, services in
            let other = try await HostileRegistry(layout, in: world.folder)
            world.with { other.end() }
            try registry.rules(#"{"path": "GET .*/blobs/", "redirect": "http://\#(other.host){path}?sig=hush"}"#)
            _ = try await services.pull("\(registry.host)/x:1", credential: user)
            #expect(other.requests.count == 3 && other.requests.allSatisfy { $0.authorization == nil })
        }
    }

    @Test func `a signed redirect that is refused does not show its signature`() async throws {
        try await inAuthWorld("--auth none") { world, registry, layout, services in
            let other = try await HostileRegistry(layout, in: world.folder)
            world.with { other.end() }
            try other.rules(#"{"path": "GET ", "status": 403, "body": "bad signature hush"}"#)
            try registry.rules(
                #"{"path": "GET .*/blobs/", "redirect": "http://me:hush@\#(other.host){path}?X-Amz-Signature=hush"}"#)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == .permissionDenied && error?.message.contains("hush") == false)
            #expect(error?.message.contains(other.host) == true)
        }
    }

    @Test func `docker's config file and its helpers`() async throws {
        try await inAuthWorld("--auth basic") { world, registry, _, services in
            let text = #"{"auths": {"http://\#(registry.host)/v1/": {"auth": "dXNlcjpzZWNyZXQ="}}}"#
            try Files.replace(world.folder + "/docker.json", with: Array(text.utf8), mode: 0o600)
            _ = try await services.pull("\(registry.host)/x:1")
            try Files.replace(world.folder + "/docker.json", with: Array("{".utf8), mode: 0o600)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:2") }
            #expect(error?.code == .failedPrecondition)
        }
    }

    @Test func `TLS with an authority of one's own`() async throws {
        try await inWorld { world in
            let certificates = try Certificates(in: world.folder)
            let layout = try ImageLayout(world.folder + "/layout")
            try layout.finish(try layout.image([try layout.layer(ImageLayout.files(["a": "one"]))]))
            let registry = try await HostileRegistry(
                layout, in: world.folder, "--auth bearer --tls '\(certificates.certificate)' '\(certificates.key)'")
            world.with { registry.end() }
            let services = try await world.start()
            let name = "\(registry.host)/x:1"
            let unknown = await failure { _ = try await services.pull(name, credential: user) }
            #expect(unknown?.code == .unavailable && unknown?.message.contains("certificate") == true)
            #expect(registry.requests.isEmpty)
            let folder = "\(world.folder)/certs.d/\(registry.host)"
            mkdir(folder, 0o755)
            _ = try run("cp", certificates.authority, "\(folder)/ca.crt")
            _ = try await services.pull(name, credential: user)
            unlink("\(folder)/ca.crt")
            try Files.replace(folder + "/hosts.toml", with: Array("skip_verify = true".utf8), mode: 0o644)
            _ = try await services.pull(name, credential: user)
            let hosts = "[host.\"https://\(registry.host)\"]\nca = \"../../ca.crt\"\n"
            try Files.replace(folder + "/hosts.toml", with: Array(hosts.utf8), mode: 0o644)
            _ = try await services.pull(name, credential: user)
        }
    }

    @Test func `a registry with TLS gets no password sent to a realm without`() async throws {
        try await inWorld { world in
            let certificates = try Certificates(in: world.folder)
            let layout = try ImageLayout(world.folder + "/layout")
            try layout.finish(try layout.image([]))
            let thief = try await HostileRegistry(layout, in: world.folder)
            world.with { thief.end() }
            let registry = try await HostileRegistry(
                layout, in: world.folder,
                "--auth bearer --tls '\(certificates.certificate)' '\(certificates.key)' --realm http://\(thief.host)/token"
            )
            world.with { registry.end() }
            let services = try await world.start()
            let folder = "\(world.folder)/certs.d/\(registry.host)"
            mkdir(folder, 0o755)
            _ = try run("cp", certificates.authority, "\(folder)/ca.crt")
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1", credential: user) }
            #expect(error?.code == .unauthenticated && thief.requests.isEmpty)
        }
    }
}
