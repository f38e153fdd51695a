import BerthArchive
import BerthBase
import BerthOCI
import BerthServices
import BerthSystem
import Glibc
import Testing

/// Documents and layers that somebody made to do harm.
@Suite struct DocumentTests {
    private func inDocumentWorld(
        _ body: (World, HostileRegistry, ImageLayout, Services) async throws -> Void
    ) async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            let registry = try await HostileRegistry(layout, in: world.folder)
            world.with { registry.end() }
            try await body(world, registry, layout, try await world.start())
        }
    }

    static let zeros = "sha256:" + String(repeating: "0", count: 64)
    static let config = #""config":{"mediaType":"\#(MediaType.ociConfig)","digest":"\#(zeros)","size":2}"#
    static let layer = #"{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"\#(zeros)","size":2}"#

    @Test(arguments: [
        #"{"schemaVersion":2,\#(config),"layers":[],"manifests":[]}"#,
        #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociIndex)",\#(config),"layers":[]}"#,
        #"{"schemaVersion":2,"mediaType":"\#(MediaType.dockerManifest)",\#(config),"layers":[]}"#,
        #"{"schemaVersion":2,\#(config),"layers":[],"fsLayers":[]}"#,
        #"{"schemaVersion":2,\#(config),"layers":[],"Manifests":[]}"#,
        #"{"schemaVersion":2,\#(config),"layers":[],"layers":[]}"#,
        #"{"schemaVersion":1,\#(config),"layers":[]}"#,
        #"{"schemaVersion":2,"layers":[]}"#, #"{"schemaVersion":2,\#(config)}"#, "[]", "{", "", "\u{0}",
        #"{"schemaVersion":2,\#(config),"layers":[{"mediaType":"x","digest":"sha256:../../../etc","size":2}]}"#,
        #"{"schemaVersion":2,\#(config),"layers":[{"mediaType":"x","digest":"\#(zeros)","size":-1}]}"#,
        #"{"schemaVersion":2,\#(config),"layers":[{"mediaType":"x","digest":"\#(zeros)","size":99999999999999}]}"#,
        #"{"schemaVersion":2,\#(config),"layers":[{"mediaType":"application/x-secret+encrypted","digest":"\#(zeros)","size":2}]}"#,
        #"{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"\#(zeros)","size":2},"layers":[]}"#,
        #"{"schemaVersion":2,\#(config),"layers":[\#(String(repeating: layer + ",", count: 1200))\#(layer)]}"#,
    ])
    func `a manifest that is ambiguous or no image's is refused`(_ text: String) async throws {
        try await inDocumentWorld { _, registry, layout, services in
            try layout.finish(try layout.add(Array(text.utf8), type: MediaType.ociManifest))
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == .failedPrecondition, "\(error.map { "\($0)" } ?? "no error")")
            #expect(try await services.leftovers() == [])
        }
    }

    @Test func `an index that is a manifest too, or served as another type, is refused`() async throws {
        try await inDocumentWorld { _, registry, layout, services in
            let image = try layout.image([])
            let both = #"{"schemaVersion":2,"manifests":[\#(ImageLayout.json(image))],"layers":[]}"#
            try layout.finish(try layout.add(Array(both.utf8), type: MediaType.ociIndex))
            let first = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(first?.code == .failedPrecondition && first?.message.contains("ambiguous") == true)
            let good = #"{"schemaVersion":2,"manifests":[\#(ImageLayout.json(image))]}"#
            try layout.finish(try layout.add(Array(good.utf8), type: MediaType.ociIndex))
            try registry.rules(
                #"{"path": "GET .*/manifests/\#(image.digest)", "type": "\#(MediaType.dockerManifest)"}"#)
            let second = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(second?.code == .failedPrecondition && second?.message.contains("ambiguous") == true)
            try registry.rules(#"{"path": "GET .*/manifests/\#(image.digest)", "corrupt": true}"#)
            let third = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(third?.code == .dataLoss)
            try registry.rules()
            _ = try await services.pull("\(registry.host)/x:1")
        }
    }

    @Test func `indexes nested without end are refused`() async throws {
        try await inDocumentWorld { _, registry, layout, services in
            var inner = try layout.image([])
            for _ in 0..<6 {
                let text = #"{"schemaVersion":2,"manifests":[\#(ImageLayout.json(inner))]}"#
                inner = try layout.add(Array(text.utf8), type: MediaType.ociIndex)
            }
            try layout.finish(inner)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == .failedPrecondition && error?.message.contains("nested") == true)
        }
    }

    @Test func `a config that does not fit is refused`() async throws {
        try await inDocumentWorld { _, registry, layout, services in
            let layer = try layout.layer(ImageLayout.files(["a": "1"]))
            for (text, code) in [
                (ImageLayout.config([]), BerthError.Code.failedPrecondition), ("{", .failedPrecondition),
                (ImageLayout.config([layer.diffID], architecture: "mips"), .notFound),
                (ImageLayout.config([try Digest(Self.zeros)]), .dataLoss),
            ] {
                let config = try layout.add(Array(text.utf8), type: MediaType.ociConfig)
                let manifest = ImageLayout.manifest(config, [layer.blob])
                try layout.finish(try layout.add(Array(manifest.utf8), type: MediaType.ociManifest))
                let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
                #expect(error?.code == code, "\(error.map { "\($0)" } ?? "no error")")
                #expect(try await services.leftovers() == [])
            }
        }
    }

    @Test func `hostile layers change nothing outside and leave nothing`() async throws {
        try await inDocumentWorld { world, registry, layout, services in
            let marker = world.folder + "/marker"
            try Files.replace(marker, with: Array("marker".utf8), mode: 0o640)
            var hostile: [[UInt8]] = []
            for entries in [
                [TarEntry(.file, "../../../../../..\(marker)")],
                [TarEntry(.symlink, "d", link: world.folder), TarEntry(.file, "d/marker")],
                [
                    TarEntry(.directory, "d"), TarEntry(.file, "d/x"), TarEntry(.symlink, "d", link: world.folder),
                    TarEntry(.file, "d/marker"),
                ],
                [TarEntry(.hardLink, "h", link: marker)], [TarEntry(.hardLink, "h", link: "../../../../..\(marker)")],
                [TarEntry(.symlink, "a", link: marker), TarEntry(.file, "a", mode: 0o4777)],
            ] {
                var writer = TarWriter()
                for entry in entries { writer.add(entry, entry.kind == .file ? Array("evil".utf8) : []) }
                hostile.append(writer.finished())
            }
            for (index, tar) in hostile.enumerated() {
                for second in [false, true] {
                    var layers = [try layout.layer(tar)]
                    if second { layers.append(try layout.layer(ImageLayout.files([".wh.d": "", "\(index)": ""]))) }
                    try layout.finish(try layout.image(layers))
                    _ = await failure { _ = try await services.pull("\(registry.host)/x:\(index)") }
                    var status = stat()
                    lstat(marker, &status)
                    #expect(
                        try Files.text(marker) == "marker" && status.st_mode & 0o7777 == 0o640 && status.st_nlink == 1)
                    #expect(try await services.leftovers().filter { !$0.hasPrefix("ingest") } == [])
                }
            }
        }
    }

    @Test func `corrupt layers free what they held`() async throws {
        try await inDocumentWorld { _, registry, layout, services in
            let good = try layout.layer(ImageLayout.files(["a": String(repeating: "a", count: 100_000)]))
            let bytes = try Files.read(layout.folder + "/blobs/sha256/\(good.blob.digest.hex)")
            let gzip = "application/vnd.oci.image.layer.v1.tar+gzip"
            for broken in [
                Array(bytes.dropLast(20)), [0x1f, 0x8b] + ImageLayout.noise(5000), ImageLayout.noise(5000), [],
            ] {
                let blob = try layout.add(broken, type: gzip)
                try layout.finish(try layout.image([(blob, good.diffID)]))
                try await withThrowingTaskGroup(of: BerthError?.self) { group in
                    for index in 0..<3 {
                        group.addTask { await failure { _ = try await services.pull("\(registry.host)/x:\(index)") } }
                    }
                    for try await error in group {
                        #expect(error?.code == .dataLoss, "\(error.map { "\($0)" } ?? "no error")")
                    }
                }
                #expect(try await services.leftovers() == [])
            }
            try layout.finish(try layout.image([good]))
            _ = try await services.pull("\(registry.host)/x:1")
        }
    }

    @Test func `a foreign layer comes from its address, without credentials`() async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            let (outside, foreign) = (
                try ImageLayout(world.folder + "/outside"), "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
            )
            let made = try outside.layer(ImageLayout.files(["a": "1"]))
            let stranger = try await HostileRegistry(outside, in: world.folder)
            world.with { stranger.end() }
            let text = ImageLayout.config([made.diffID])
            let config = try layout.add(Array(text.utf8), type: MediaType.ociConfig)
            var layer = made.blob
            layer.mediaType = foreign
            let urls = #","urls":["http://user:pw@\#(stranger.host)/any/\#(layer.digest)?sig=hush"]"#
            let manifest =
                #"{"schemaVersion":2,"config":\#(ImageLayout.json(config)),"layers":[\#(ImageLayout.json(layer, more: urls))]}"#
            try layout.finish(try layout.add(Array(manifest.utf8), type: MediaType.ociManifest))
            let registry = try await HostileRegistry(layout, in: world.folder, "--auth basic")
            world.with { registry.end() }
            let services = try await world.start()
            let user = RegistryCredential(.basic(username: "user", password: "secret"))
            try stranger.rules(#"{"path": "GET ", "status": 401, "headers": {"WWW-Authenticate": "Basic realm=x"}}"#)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1", credential: user) }
            #expect(error != nil && error?.message.contains("hush") == false)
            try stranger.rules()
            let image = try await services.pull("\(registry.host)/x:1", credential: user)
            #expect(try await services.text("a", of: image) == "1")
            #expect(stranger.requests.count >= 2 && stranger.requests.allSatisfy { $0.authorization == nil })
        }
    }
}
