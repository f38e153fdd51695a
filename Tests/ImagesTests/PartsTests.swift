import BerthBase
import BerthServices
import Testing

@testable import ImagesPlugins

/// The pure parts of a registry client.
@Suite struct PartsTests {
    @Test(arguments: [
        ("Basic realm=\"x\"", [AuthChallenge.basic]), ("basic", [.basic]), ("", []), ("Negotiate", []), ("Bearer", []),
        (
            "Bearer realm=\"https://a/t?b=c\",service=\"s, t\",scope=\"repository:x:pull,push\"",
            [.bearer(realm: "https://a/t?b=c", service: "s, t", scope: "repository:x:pull,push")]
        ),
        ("bearer realm=u, Basic realm=v", [.bearer(realm: "u", service: "", scope: ""), .basic]),
        ("Bearer realm=\"a\\\"b", [.bearer(realm: "a\"b", service: "", scope: "")]),
    ])
    func `challenges are read`(_ header: String, _ found: [AuthChallenge]) {
        #expect(AuthChallenge.parse(header) == found)
    }

    @Test func `a token is preferred to a password at every request`() {
        #expect(
            AuthChallenge.best(of: ["Basic realm=x", "Bearer realm=y"]) == .bearer(realm: "y", service: "", scope: ""))
        #expect(AuthChallenge.best(of: []) == nil)
    }

    @Test(arguments: [
        (
            "https://user:pw@Host.example:443/a/b?sig=secret#f", "https://host.example/a/b?***",
            "https://host.example/a/b?sig=secret"
        ),
        ("http://h", "http://h/", "http://h/"), ("http://[::1]:5000/x", "http://[::1]:5000/x", "http://[::1]:5000/x"),
        ("https://h:8443?q", "https://h:8443/?***", "https://h:8443/?q"),
    ])
    func `a URL shows no secret`(_ text: String, _ shown: String, _ sent: String) throws {
        let address = try WebAddress(text)
        #expect(address.description == shown && address.wireText == sent)
    }

    @Test(arguments: [
        "", "h/x", "file:///etc/passwd", "http://", "http://a b/", "http://h:0/", "http://h:99999/", "http://h\n/",
        "http://h\\x/",
    ])
    func `what is no URL is refused without being quoted`(_ text: String) {
        let error = #expect(throws: BerthError.self) { try WebAddress(text) }
        #expect(error?.code == .invalidArgument)
    }

    @Test(arguments: [
        ("/c?d", "https://h:1/c?d"), ("c", "https://h:1/a/c"), ("//o/x", "https://o/x"),
        ("http://o:2/y", "http://o:2/y"),
        ("?q", "https://h:1/a/?q"),
    ])
    func `a redirect is followed from where one is`(_ location: String, _ whole: String) throws {
        #expect(try WebAddress("https://h:1/a/b?z").resolving(location).wireText == whole)
    }

    @Test(arguments: [
        ("localhost", true), ("127.0.0.1", true), ("127.9.8.7", true), ("[::1]", true), ("127.0.0.1.example", false),
        ("localhost.example", false), ("10.0.0.1", false), ("127.0.0", false),
    ])
    func `this machine is known`(_ host: String, _ isLoopback: Bool) {
        #expect(WebAddress.isLoopback(host) == isLoopback)
    }

    @Test(arguments: [
        ("https://index.docker.io/v1/", "docker.io"), ("docker.io", "docker.io"),
        ("registry.example:5000", "registry.example:5000"),
        ("http://Registry.example/v2/", "registry.example"),
    ])
    func `docker's names of hosts`(_ key: String, _ host: String) { #expect(DockerConfig.host(of: key) == host) }

    @Test func `hosts are tried in the order of the file, the server last`() throws {
        let text = """
            server = "https://up.example"
            skip_verify = true
            [host."https://b.example"]
            ca = ["a.pem", "/abs/b.pem"]
            client = [["c.pem", "k.pem"]]
            dial_timeout = "1500ms"
            [host."a.example:8443/prefix"]
            capabilities = ["resolve"]
            override_path = true
            [host."a.example:8443/prefix".header]
            x-a = ["1", "2"]
            """
        let server = try WebAddress("https://own.example/v2")
        let hosts = try HostsFile(text, file: "hosts.toml", folder: "/certs", server: server).endpoints
        #expect(
            hosts.map(\.base.wireText) == [
                "https://b.example/v2", "https://a.example:8443/prefix", "https://up.example/v2",
            ])
        #expect(hosts[0].tls.authorities == ["/certs/a.pem", "/abs/b.pem"] && !hosts[0].tls.skipVerify)
        #expect(hosts[0].tls.client == .init(certificate: "/certs/c.pem", key: "/certs/k.pem"))
        #expect(hosts[0].dialTimeout == .milliseconds(1500) && hosts[0].isMirror && !hosts[2].isMirror)
        #expect(hosts[1].capabilities == [.resolve] && hosts[1].headers.map(\.value) == ["1", "2"])
        #expect(hosts[2].tls.skipVerify)
    }

    @Test func `a credential never shows`() {
        #expect("\(RegistryCredential(.basic(username: "u", password: "secret")))" == "***")
        let key = TokenStore.Key(origin: "https://h", scope: "s", credential: .basic(username: "u", password: "secret"))
        #expect(!"\(key)".contains("secret"))
    }

    @Test func `headers and values that would be two lines are refused`() {
        let server = try? WebAddress("https://h/v2")
        for text in ["[header]\n\"a:b\" = \"c\"", "[header]\na = \"b\\r\\nAuthorization: x\""] {
            let error = #expect(throws: BerthError.self) {
                guard let server else { return }
                _ = try HostsFile(text, file: "f", folder: "/", server: server)
            }
            #expect(error?.code == .failedPrecondition)
        }
    }
}
