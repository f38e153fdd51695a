import BerthBase
import BerthOCI
import BerthServices
import BerthSystem
import Glibc
import Testing

/// Debian's docker-registry with TLS and passwords, and docker's own formats.
@Suite(.serialized) struct RegistryTests {
    @Test func `docker's formats over TLS with a password from docker's file`() async throws {
        try await inWorld { world in
            let certificates = try Certificates(in: world.folder)
            // user:secret
            let hash = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
            try Files.replace(world.folder + "/htpasswd", with: Array(hash.utf8), mode: 0o644)
            let registry = try await DockerRegistry(
                in: world.folder + "/registry",
                http: """
                      tls: {certificate: \(certificates.certificate), key: \(certificates.key)}
                    auth: {htpasswd: {realm: test, path: \(world.folder)/htpasswd}}
                    """)
            world.with { registry.end() }
            let layout = try ImageLayout(world.folder + "/layout")
            try layout.finish(
                try layout.image([
                    try layout.layer(ImageLayout.files(["a": "one"])),
                    try layout.layer(ImageLayout.files(["b": "two"])),
                ]))
            try registry.push(
                layout.folder, as: "deep/er/x:1", ["--dest-creds", "user:secret", "--format", "v2s2"], preserving: false
            )
            let services = try await world.start()
            let folder = "\(world.folder)/certs.d/\(registry.host)"
            mkdir(folder, 0o755)
            _ = try run("cp", certificates.authority, "\(folder)/ca.crt")
            let name = "\(registry.host)/deep/er/x:1"
            let error = await failure { _ = try await services.pull(name) }
            #expect(error?.code == .unauthenticated)
            let text = #"{"auths": {"\#(registry.host)": {"username": "user", "password": "secret"}}}"#
            try Files.replace(world.folder + "/docker.json", with: Array(text.utf8), mode: 0o600)
            let image = try await services.pull(name)
            #expect(image.manifest.mediaType == MediaType.dockerManifest)
            #expect(try await services.text("a", of: image) == "one")
            let missing = await failure { _ = try await services.pull("\(registry.host)/deep/er/x:2") }
            #expect(missing?.code == .notFound && missing?.message.contains("MANIFEST_UNKNOWN") == true)
        }
    }

    @Test func `a credential helper is asked`() async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            try layout.finish(try layout.image([]))
            let registry = try await HostileRegistry(layout, in: world.folder, "--auth basic")
            world.with { registry.end() }
            let name = "berth-test-\(getpid())"
            let script = """
                #!/bin/sh
                read -r server
                echo "$1 $server" >> \(world.folder)/asked
                if [ -e \(world.folder)/hang ]; then exec sleep 60; fi
                if [ -e \(world.folder)/unknown ]; then echo "credentials not found in native keychain"; exit 1; fi
                echo '{"ServerURL":"","Username":"user","Secret":"secret"}'
                """
            let program = "/usr/local/bin/docker-credential-\(name)"
            try Files.replace(program, with: Array(script.utf8), mode: 0o755)
            defer { unlink(program) }
            let text = #"{"credHelpers": {"\#(registry.host)": "\#(name)"}}"#
            try Files.replace(world.folder + "/docker.json", with: Array(text.utf8), mode: 0o600)
            let services = try await world.start()
            _ = try await services.pull("\(registry.host)/x:1")
            #expect(try Files.text(world.folder + "/asked").split(separator: "\n").first == "get \(registry.host)")
            try Files.replace(world.folder + "/unknown", with: [], mode: 0o600)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == .unauthenticated)
            let bad = #"{"credHelpers": {"\#(registry.host)": "../../bin/sh"}}"#
            try Files.replace(world.folder + "/docker.json", with: Array(bad.utf8), mode: 0o600)
            let second = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(second?.code == .failedPrecondition)
        }
    }
}
