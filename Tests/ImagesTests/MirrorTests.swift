import BerthBase
import BerthServices
import BerthSystem
import Glibc
import Testing

/// Which server is asked, in which order, with what.
@Suite struct MirrorTests {
    private func inMirrorWorld(
        _ body: (World, _ mirror: HostileRegistry, _ origin: HostileRegistry, Services, [Descriptor]) async throws ->
            Void
    ) async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            let layers = [
                try layout.layer(ImageLayout.files(["a": "one"])), try layout.layer(ImageLayout.files(["b": "two"])),
            ]
            try layout.finish(try layout.image(layers))
            let mirror = try await HostileRegistry(layout, in: world.folder)
            world.with { mirror.end() }
            let origin = try await HostileRegistry(layout, in: world.folder)
            world.with { origin.end() }
            mkdir("\(world.folder)/certs.d/registry.example", 0o755)
            try await body(world, mirror, origin, try await world.start(), layers.map(\.blob))
        }
    }

    private func hosts(_ world: World, _ text: String, of registry: String = "registry.example") throws {
        try Files.replace("\(world.folder)/certs.d/\(registry)/hosts.toml", with: Array(text.utf8), mode: 0o644)
    }

    @Test func `a mirror is asked first, with its headers, and told whose content is wanted`() async throws {
        try await inMirrorWorld { world, mirror, origin, services, _ in
            try hosts(
                world,
                """
                server = "http://\(origin.host)"
                [host."http://\(mirror.host)"]
                capabilities = ["pull", "resolve"]
                [host."http://\(mirror.host)".header]
                x-tenant = "berth"
                """)
            let info = try await services.pull("registry.example/x:1")
            #expect(info.names.contains("registry.example/x:1"))
            #expect(origin.requests.isEmpty && mirror.requests.count == 4)
            #expect(mirror.requests.allSatisfy { $0.tenant == "berth" && $0.query == "ns=registry.example" })
        }
    }

    @Test(arguments: [
        #""status": 404"#, #""status": 500"#, #""status": 401"#, #""corrupt": true"#, #""drop_after": 20"#,
    ])
    func `what a mirror has not or has wrong comes from the registry`(_ rule: String) async throws {
        try await inMirrorWorld { world, mirror, origin, services, layers in
            try hosts(world, "server = \"http://\(origin.host)\"\n[host.\"http://\(mirror.host)\"]\n")
            try mirror.rules(#"{"path": "GET .*/blobs/\#(layers[0].digest)", \#(rule)}"#)
            let info = try await services.pull("registry.example/x:1")
            #expect(try await services.text("a", of: info) == "one")
            #expect(origin.requests.map(\.path) == ["/v2/x/blobs/\(layers[0].digest)"])
            #expect(try await services.leftovers() == [])
        }
    }

    @Test func `a mirror that may only be pulled from does not say what a tag is`() async throws {
        try await inMirrorWorld { world, mirror, origin, services, _ in
            try hosts(
                world,
                """
                server = "http://\(origin.host)"
                [host."http://\(mirror.host)"]
                capabilities = ["pull"]
                """)
            _ = try await services.pull("registry.example/x:1")
            #expect(origin.requests.map(\.path) == ["/v2/x/manifests/1"])
            #expect(!mirror.requests.contains { $0.path.contains("manifests") })
        }
    }

    @Test func `the default folder, other paths, and a mirror nobody listens at`() async throws {
        try await inMirrorWorld { world, mirror, origin, services, _ in
            rmdir("\(world.folder)/certs.d/registry.example")
            mkdir("\(world.folder)/certs.d/_default", 0o755)
            try hosts(
                world,
                """
                [host."http://127.0.0.1:1"]
                [host."http://\(mirror.host)/some/base"]
                override_path = true
                [host."http://\(origin.host)"]
                """, of: "_default")
            try mirror.rules(#"{"path": "GET ", "status": 404}"#)
            _ = try await services.pull("whatever.example/y/x:1")
            #expect(mirror.requests.first?.path == "/some/base/y/x/manifests/1")
            #expect(origin.requests.first?.path == "/v2/y/x/manifests/1")
        }
    }

    @Test(arguments: [
        ("sever = \"x\"", "unknown key 'sever'; did you mean 'server'?"), ("server = 1", "'server' must be a string"),
        ("[host.\"https://x\"]\ncapabilities = [\"pul\"]", "unknown capability 'pul'"),
        ("[host.\"ftp://x\"]", "neither http nor https"), ("dial_timeout = \"3\"", "'dial_timeout' must be a time"),
        ("= 1", "hosts.toml:1:1"),
    ])
    func `a file that makes no sense is an error with its place`(_ text: String, _ told: String) async throws {
        try await inMirrorWorld { world, _, _, services, _ in
            try hosts(world, text)
            let error = await failure { _ = try await services.pull("registry.example/x:1") }
            #expect(error?.code == .failedPrecondition)
            #expect(
                error?.message.contains(told) == true && error?.message.contains("hosts.toml:") == true,
                "\(error?.message ?? "")")
        }
    }
}
