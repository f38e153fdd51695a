import BerthBase
import BerthOCI
import Testing

/// Names of images. Sources: the distribution project's grammar, docker's rules for short names.
@Suite struct ReferenceTests {
    static let hex = String(repeating: "a", count: 64)

    @Test(arguments: [
        ("busybox", "docker.io/library/busybox:latest"), ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("user/app", "docker.io/user/app:latest"), ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/user/app:v1", "docker.io/user/app:v1"), ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/a/b/c:v1", "localhost:5000/a/b/c:v1"), ("127.0.0.1:80/x", "127.0.0.1:80/x:latest"),
        ("[::1]:5000/x:y", "[::1]:5000/x:y"), ("registry.example/a", "registry.example/a:latest"),
        ("HOST/a", "HOST/a:latest"), ("a__b/c--d/e.f_g", "docker.io/a__b/c--d/e.f_g:latest"),
        ("x@sha256:\(hex)", "docker.io/library/x@sha256:\(hex)"),
        ("r.io/x:v1@sha256:\(hex)", "r.io/x:v1@sha256:\(hex)"),
    ])
    func `a name is normalised`(_ text: String, _ whole: String) throws {
        #expect(try ImageReference(text).description == whole)
        #expect(try ImageReference(whole).description == whole)
    }

    @Test(arguments: [
        "", ":", "@", "a:", "a:b:c", "A", "a/B", "a//b", "/a", "a/", "a b", "a\n", "ä", "-a", "a-", "a..b", "a.-b",
        "a___b", ".a",
        "r.io/a:\(String(repeating: "t", count: 129))", "r.io/a:.t", "r.io:99999/a", "r.io:/a", "r_.io/a",
        "r.io/\(String(repeating: "a", count: 255))",
        "x@sha256:abc", "x@md5:\(hex)", "x@sha256:\(hex.uppercased())", "[::1/x", "../../etc/passwd", "a/../b", hex,
    ])
    func `what is no name is refused`(_ text: String) {
        let error = #expect(throws: BerthError.self) { try ImageReference(text) }
        #expect(error?.code == .invalidArgument)
    }

    @Test func `a name is pinned to a digest`() throws {
        let digest = try Digest("sha256:\(Self.hex)")
        let pinned = try ImageReference("r.io/x:v1").pinned(to: digest)
        #expect(pinned.description == "r.io/x@sha256:\(Self.hex)" && pinned.tag == nil)
    }
}

/// What of an index runs on a platform.
@Suite struct PlatformTests {
    private func platform(_ text: String, version: String? = nil) -> Platform {
        let parts = text.split(separator: "/").map(String.init)
        var platform = Platform(architecture: parts[1], os: parts[0], variant: parts.count > 2 ? parts[2] : nil)
        platform.osVersion = version
        return platform
    }

    @Test(arguments: [
        ("linux/amd64", "linux/amd64", 0), ("linux/amd64", "linux/x86_64", 0), ("linux/amd64", "linux/amd64/v1", 0),
        ("linux/amd64", "linux/amd64/v2", nil), ("linux/amd64/v3", "linux/amd64/v2", 1),
        ("linux/amd64/v3", "linux/amd64", 2),
        ("linux/arm64", "linux/arm64/v8", 0), ("linux/arm64", "linux/arm/v7", 2), ("linux/arm/v7", "linux/arm/v6", 1),
        ("linux/arm/v6", "linux/arm/v7", nil), ("linux/arm", "linux/arm/v7", 0), ("linux/arm/v5", "linux/arm/v5", 0),
        ("linux/amd64", "windows/amd64", nil), ("linux/amd64", "linux/386", nil), ("linux/aarch64", "linux/arm64", 0),
        ("linux/riscv64", "linux/riscv64", 0), ("linux/ppc64le", "linux/ppc64", nil),
        ("linux/amd64", "unknown/unknown", nil),
    ])
    func `an offer is ranked`(_ wanted: String, _ offered: String, _ rank: Int?) {
        #expect(PlatformChoice(platform(wanted)).rank(platform(offered)) == rank)
    }

    @Test func `the version of the system counts where it is asked for`() {
        let choice = PlatformChoice(platform("windows/amd64", version: "10.0.20348"))
        #expect(choice.rank(platform("windows/amd64", version: "10.0.20348.169")) == 0)
        #expect(choice.rank(platform("windows/amd64", version: "10.0.17763")) == nil)
        #expect(choice.rank(platform("windows/amd64")) == 0)
        #expect(PlatformChoice(platform("windows/amd64")).rank(platform("windows/amd64", version: "10.0.1")) == 0)
        var needy = platform("linux/amd64")
        needy.osFeatures = ["win32k"]
        #expect(PlatformChoice(platform("linux/amd64")).rank(needy) == nil)
    }

    @Test func `of equals the first counts, and attestations never`() throws {
        func descriptor(_ digit: Character, _ text: String) throws -> Descriptor {
            var made = Descriptor(
                mediaType: MediaType.ociManifest, digest: try Digest("sha256:" + String(repeating: digit, count: 64)),
                size: 1)
            made.platform = platform(text)
            return made
        }
        var attestation = try descriptor("0", "linux/amd64")
        attestation.annotations = ["vnd.docker.reference.type": "attestation-manifest"]
        let all = [
            attestation, try descriptor("1", "linux/arm64"), try descriptor("2", "linux/amd64"),
            try descriptor("3", "linux/amd64"),
        ]
        #expect(PlatformChoice(platform("linux/amd64")).candidates(all) == [all[2], all[3]])
    }
}

/// Configs of images, which anybody may have made.
@Suite struct ConfigurationTests {
    @Test func `everything that counts is read`() throws {
        let text = #"""
            {"architecture":"arm64","os":"linux","variant":"v8","config":{"User":"1:2","Env":["A=b","C"],"Entrypoint":["/e"],
            "Cmd":["c"],"WorkingDir":"/w","Volumes":{"/v":{},"/u":{}},"Labels":{"l":"m"},"StopSignal":"SIGINT",
            "ExposedPorts":{"80/tcp":{}}},"rootfs":{"type":"layers","diff_ids":[]},"history":[{"created":"x"}]}
            """#
        let config = try ImageConfiguration(Array(text.utf8))
        #expect(
            config.platform.description == "linux/arm64/v8" && config.user == "1:2"
                && config.environment == ["A=b", "C"])
        #expect(config.entrypoint == ["/e"] && config.command == ["c"] && config.workingDirectory == "/w")
        #expect(config.volumes == ["/u", "/v"] && config.labels == ["l": "m"] && config.stopSignal == "SIGINT")
        #expect(config.exposedPorts == ["80/tcp"] && config.diffIDs.isEmpty)
    }

    @Test(arguments: [
        "", "[]", "{", #"{"rootfs":{"type":"magic"}}"#, #"{"rootfs":{"diff_ids":["x"]}}"#,
        #"{"rootfs":{"diff_ids":[1]}}"#,
        String(repeating: "[", count: 100_000),
    ])
    func `what is no config is refused`(_ text: String) {
        let error = #expect(throws: BerthError.self) { try ImageConfiguration(Array(text.utf8)) }
        #expect(error?.code == .failedPrecondition)
    }

    @Test func `fields of odd types are as if they were not there`() throws {
        let config = try ImageConfiguration(
            Array(#"{"config":{"Env":{},"Cmd":"x","User":7,"Labels":["a"],"Volumes":[]}}"#.utf8))
        #expect(config.environment.isEmpty && config.command.isEmpty && config.user.isEmpty && config.labels.isEmpty)
    }
}
