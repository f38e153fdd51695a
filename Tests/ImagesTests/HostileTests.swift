import BerthArchive
import BerthBase
import BerthDigest
import BerthOCI
import BerthServices
import BerthSystem
import Glibc
import Testing

/// A registry that breaks off, lies, refuses, stalls and leads astray.
@Suite struct HostileTests {
    /// A world with a hostile registry that serves an image with one small and one larger layer.
    private func inHostileWorld(
        _ options: String = "", config: String = "",
        _ body: (World, HostileRegistry, ImageLayout, Services, [Descriptor]) async throws -> Void
    ) async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            var writer = TarWriter()
            writer.add(TarEntry(.file, "noise"), ImageLayout.noise(3_000_000))
            let layers = [
                try layout.layer(ImageLayout.files(["a": "one"])), try layout.layer(writer.finished()),
            ]
            try layout.finish(try layout.image(layers))
            let registry = try await HostileRegistry(layout, in: world.folder, options)
            world.with { registry.end() }
            try await body(world, registry, layout, try await world.start(config), layers.map(\.blob))
        }
    }

    @Test func `a transfer that breaks off goes on where it was`() async throws {
        try await inHostileWorld { _, registry, _, services, layers in
            let large = layers[1].digest
            try registry.rules(#"{"path": "GET .*/blobs/\#(large)", "drop_after": 1000000, "times": 2}"#)
            let info = try await services.pull("\(registry.host)/x:1")
            #expect(try await services.text("a", of: info) == "one")
            let asked = registry.requests.filter { $0.path.hasSuffix("\(large)") }
            #expect(asked.map(\.range) == [nil, "bytes=1000000-", "bytes=2000000-"])
            #expect(try await services.leftovers() == [])
        }
    }

    @Test func `a server that ignores ranges is read from the beginning`() async throws {
        try await inHostileWorld { _, registry, _, services, layers in
            let large = layers[1].digest
            try registry.rules(
                #"{"path": "GET .*/blobs/\#(large)", "drop_after": 1000000, "times": 1}"#,
                #"{"path": "GET .*/blobs/\#(large)", "no_range": true}"#)
            let info = try await services.pull("\(registry.host)/x:1")
            #expect(try await services.text("a", of: info) == "one")
        }
    }

    @Test func `a pull that failed is resumed by the next one`() async throws {
        try await inHostileWorld { _, registry, _, services, layers in
            let large = layers[1].digest
            try registry.rules(
                #"{"path": "GET .*/blobs/\#(large)", "drop_after": 700000, "times": 1}"#,
                #"{"path": "GET .*/blobs/\#(large)", "status": 404}"#)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == .notFound)
            try registry.rules()
            _ = try await services.pull("\(registry.host)/x:1")
            #expect(registry.requests.last { $0.path.hasSuffix("\(large)") }?.range == "bytes=700000-")
            #expect(try await services.leftovers() == [])
        }
    }

    @Test(arguments: [
        (#""corrupt": true"#, BerthError.Code.dataLoss), (#""claim": 10"#, .dataLoss), (#""claim": -10"#, .dataLoss),
        (#""claim": 10, "chunked": true"#, .dataLoss), (#""claim": -10, "chunked": true"#, .dataLoss),
        (#""status": 401"#, .unauthenticated), (#""status": 403"#, .permissionDenied), (#""status": 404"#, .notFound),
        (#""status": 429, "headers": {"Retry-After": "0"}"#, .unavailable), (#""status": 500"#, .unavailable),
        (#""drop_after": 0"#, .unavailable), (#""status": 418"#, .unknown),
    ])
    func `a layer that does not come as it should`(_ rule: String, _ code: BerthError.Code) async throws {
        try await inHostileWorld { _, registry, _, services, layers in
            try registry.rules(#"{"path": "GET .*/blobs/\#(layers[1].digest)", \#(rule)}"#)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == code, "\(error.map { "\($0)" } ?? "no error")")
            #expect(error?.message.contains("\(registry.host)/x:1") == true)
            #expect(error?.message.contains("secret") == false)
            #expect(try await services.images.list(in: World.namespace) == [])
            #expect(try await services.leftovers().filter { !$0.hasPrefix("ingest") } == [])
            try registry.rules()
            let info = try await services.pull("\(registry.host)/x:1")
            #expect(try await services.text("a", of: info) == "one")
        }
    }

    @Test(arguments: [
        (#""status": 401"#, BerthError.Code.unauthenticated), (#""status": 403"#, .permissionDenied),
        (#""status": 404, "body": "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}""#, .notFound),
        (#""status": 503"#, .unavailable), (#""endless": true"#, .resourceExhausted),
        (#""type": "application/vnd.docker.distribution.manifest.v1+prettyjws""#, .failedPrecondition),
        (#""type": "text/html""#, .failedPrecondition),
        (#""type": "application/vnd.oci.image.index.v1+json""#, .failedPrecondition),
        (#""digest": "sha256:\#(String(repeating: "0", count: 64))""#, .dataLoss),
        (#""redirect": "http://user:pw@127.0.0.1:1{path}?X-Sig=secret""#, .unavailable),
        (#""redirect": "ftp://x/""#, .unavailable), (#""redirect": "{path}""#, .unavailable),
    ])
    func `a manifest that does not come as it should`(_ rule: String, _ code: BerthError.Code) async throws {
        try await inHostileWorld { _, registry, _, services, _ in
            try registry.rules(#"{"path": "GET .*/manifests/", \#(rule)}"#)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == code, "\(error.map { "\($0)" } ?? "no error")")
            #expect(error?.message.contains("secret") == false && error?.message.contains("pw@") == false)
            #expect(try await services.leftovers() == [])
        }
    }

    @Test func `schema 1 is refused by name`() async throws {
        try await inHostileWorld { _, registry, _, services, _ in
            try registry.rules(
                #"{"path": "GET .*/manifests/", "type": "application/vnd.docker.distribution.manifest.v1+json"}"#)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.message.contains("schema 1") == true)
        }
    }

    @Test func `a registry that falls silent is given up`() async throws {
        try await inHostileWorld(config: "progress_timeout_seconds = 4") { _, registry, _, services, layers in
            try registry.rules(#"{"path": "GET .*/blobs/\#(layers[1].digest)", "stall_after": 1000}"#)
            let start = ContinuousClock.now
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == .unavailable, "\(error.map { "\($0)" } ?? "no error")")
            #expect(ContinuousClock.now - start < .seconds(20))
            // Each try brought a trickle, which does not count.
            #expect(registry.requests.filter { $0.path.hasSuffix("\(layers[1].digest)") }.count == 3)
            #expect(try await services.leftovers().filter { !$0.hasPrefix("ingest") } == [])
        }
    }

    @Test func `a registry that falls silent once costs half the time and no more`() async throws {
        try await inHostileWorld(config: "progress_timeout_seconds = 4") { _, registry, _, services, layers in
            try registry.rules(#"{"path": "GET .*/blobs/\#(layers[1].digest)", "stall_after": 600000, "times": 1}"#)
            _ = try await services.pull("\(registry.host)/x:1")
        }
    }

    @Test func `a pull that is cancelled ends soon`() async throws {
        try await inHostileWorld { _, registry, _, services, layers in
            try registry.rules(#"{"path": "GET .*/blobs/\#(layers[1].digest)", "stall_after": 1000}"#)
            let pull = Task { try await services.pull("\(registry.host)/x:1") }
            while !registry.requests.contains(where: { $0.path.hasSuffix("\(layers[1].digest)") }) {
                try await Task.sleep(for: .milliseconds(20))
            }
            let start = ContinuousClock.now
            pull.cancel()
            let error = await failure { _ = try await pull.value }
            #expect(error?.code == .cancelled)
            #expect(ContinuousClock.now - start < .seconds(4))
            #expect(try await services.leftovers().filter { !$0.hasPrefix("ingest") } == [])
        }
    }
}
