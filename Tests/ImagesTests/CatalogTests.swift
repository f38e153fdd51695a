import BerthArchive
import BerthBase
import BerthOCI
import BerthServices
import BerthSystem
import Testing

/// Images by name and ID, and what refers to what.
@Suite struct CatalogTests {
    private func inCatalogWorld(
        _ body: (World, HostileRegistry, ImageLayout, Services) async throws -> Void
    ) async throws {
        try await inWorld { world in
            let layout = try ImageLayout(world.folder + "/layout")
            try layout.finish(try layout.image([try layout.layer(ImageLayout.files(["a": "one"]))]))
            let registry = try await HostileRegistry(layout, in: world.folder)
            world.with { registry.end() }
            try await body(world, registry, layout, try await world.start())
        }
    }

    @Test func `an image is found by every name and by its ID`() async throws {
        try await inCatalogWorld { _, registry, _, services in
            let image = try await services.pull("\(registry.host)/x:1")
            let hex = image.id.hex
            for name in [
                "\(registry.host)/x:1", "\(registry.host)/x@\(image.target.digest)",
                "\(registry.host)/x:1@\(image.target.digest)", "sha256:\(hex)", hex, String(hex.prefix(5)),
                "sha256:" + hex.prefix(12),
            ] {
                #expect(try await services.images.resolve(name, in: World.namespace) == image, "\(name)")
            }
            for name in [
                "\(registry.host)/x:2", "x:1", String(hex.prefix(4)), "sha256:" + String(repeating: "0", count: 64),
                "A B",
            ] {
                let error = await failure { _ = try await services.images.resolve(name, in: World.namespace) }
                #expect(error?.code == .notFound, "\(name)")
            }
            let elsewhere = await failure { _ = try await services.images.resolve(hex, in: "other") }
            #expect(elsewhere?.code == .notFound)
            #expect(try await services.images.list(in: World.namespace) == [image])
            #expect(image.size > 0 && image.manifest == image.target)
        }
    }

    @Test func `an image whose tag moved on is still found by digest and ID`() async throws {
        try await inCatalogWorld { _, registry, layout, services in
            let old = try await services.pull("\(registry.host)/x:1")
            try layout.finish(try layout.image([try layout.layer(ImageLayout.files(["a": "two"]))]))
            let new = try await services.pull("\(registry.host)/x:1")
            #expect(new.id != old.id)
            #expect(try await services.images.resolve("\(registry.host)/x:1", in: World.namespace).id == new.id)
            let left = try await services.images.resolve(old.id.description, in: World.namespace)
            #expect(left.names == ["\(registry.host)/x@\(old.target.digest)"])
            #expect(try await services.images.list(in: World.namespace).count == 2)
        }
    }

    @Test func `removal takes all names, and a missing image is no error`() async throws {
        try await inCatalogWorld { _, registry, _, services in
            let image = try await services.pull("\(registry.host)/x:1")
            _ = try await services.pull("\(registry.host)/x:2")
            let removed = try await services.images.remove(image.id.description, in: World.namespace)
            #expect(removed.count == 3)
            #expect(try await services.images.list(in: World.namespace) == [])
            #expect(try await services.images.remove("\(registry.host)/x:1", in: World.namespace) == [])
        }
    }

    @Test func `labels are the reference graph, exactly as containerd has it`() async throws {
        try await inCatalogWorld { _, registry, layout, services in
            let layers = [
                try layout.layer(ImageLayout.files(["a": "1"])), try layout.layer(ImageLayout.files(["b": "2"])),
            ]
            let image = try layout.image(layers)
            let other = try layout.image([], architecture: "riscv64")
            let list =
                #"{"schemaVersion":2,"mediaType":"\#(MediaType.ociIndex)","manifests":["#
                + ImageLayout.json(other, more: #","platform":{"os":"linux","architecture":"riscv64"}"#) + ","
                + ImageLayout.json(
                    image, more: #","platform":{"os":"linux","architecture":"\#(Platform.host.architecture)"}"#)
                + "]}"
            let index = try layout.add(Array(list.utf8), type: MediaType.ociIndex)
            try layout.finish(index)
            let info = try await services.pull("\(registry.host)/some/x:1")
            #expect(info.target == index && info.manifest.digest == image.digest)
            let source = "containerd.io/distribution.source.\(registry.host)"
            let labels = try await services.metadata.read { reader in
                Dictionary(
                    uniqueKeysWithValues: try reader.blobs(in: World.namespace, filters: []).map {
                        ($0.digest, $0.labels)
                    })
            }
            #expect(
                labels[index.digest] == [
                    "containerd.io/gc.ref.content.m.0": other.digest.description,
                    "containerd.io/gc.ref.content.m.1": image.digest.description, source: "some/x",
                ])
            #expect(
                labels[image.digest] == [
                    "containerd.io/gc.ref.content.config": info.id.description,
                    "containerd.io/gc.ref.content.l.0": layers[0].blob.digest.description,
                    "containerd.io/gc.ref.content.l.1": layers[1].blob.digest.description, source: "some/x",
                ])
            let chain = try #require(info.chainID)
            #expect(labels[info.id] == ["containerd.io/gc.ref.snapshot.overlay": chain.description, source: "some/x"])
            #expect(labels[layers[0].blob.digest]?[source] == "some/x")
            #expect(labels[other.digest] == nil && labels.count == 5)
            _ = try await services.pull("\(registry.host)/b/x:1")
            let again = try await services.metadata.read {
                try $0.blob(index.digest, in: World.namespace).labels[source]
            }
            #expect(again == "b/x,some/x")
        }
    }

    @Test func `an image is unpacked into another snapshotter`() async throws {
        try await inCatalogWorld { _, registry, layout, services in
            try layout.finish(
                try layout.image([
                    try layout.layer(ImageLayout.files(["a": "1", "b": "2"])),
                    try layout.layer(ImageLayout.files([".wh.a": ""])),
                ]))
            let image = try await services.pull("\(registry.host)/x:1")
            let top = try await services.images.unpack(image, snapshotter: "native", in: World.namespace)
            #expect(top?.rawValue == image.chainID?.description)
            #expect(try await services.text("b", of: image, snapshotter: "native") == "2")
            #expect(try await services.text("a", of: image, snapshotter: "native") == nil)
            #expect(try await services.leftovers() == [])
            let error = await failure {
                _ = try await services.images.unpack(image, snapshotter: "zfs", in: World.namespace)
            }
            #expect(error?.code == .notFound)
        }
    }

    @Test func `an image without layers, and one with a layer twice`() async throws {
        try await inCatalogWorld { _, registry, layout, services in
            try layout.finish(try layout.image([]))
            let empty = try await services.pull("\(registry.host)/x:empty")
            #expect(empty.chainID == nil && empty.diffIDs.isEmpty)
            let layer = try layout.layer(ImageLayout.files(["a": "1"]))
            try layout.finish(try layout.image([layer, layer, layer]))
            let thrice = try await services.pull("\(registry.host)/x:thrice")
            #expect(try await services.text("a", of: thrice) == "1")
            #expect(registry.requests.filter { $0.path.hasSuffix("\(layer.blob.digest)") }.count == 1)
            #expect(try await services.images.list(in: World.namespace).count == 2)
        }
    }

    @Test func `concurrent pulls fetch and unpack a layer once`() async throws {
        try await inCatalogWorld { _, registry, layout, services in
            let real = try layout.layer(ImageLayout.files(["a": String(repeating: "x", count: 3_000_000)]), .none)
            try layout.finish(try layout.image([real]))
            try registry.rules(#"{"path": "GET .*/blobs/\#(real.blob.digest)", "pace": 300000}"#)
            let images = try await withThrowingTaskGroup(of: ImageInfo.self) { group in
                for index in 0..<8 {
                    let namespace: NamespaceID = index % 2 == 0 ? World.namespace : "other"
                    group.addTask { try await services.pull("\(registry.host)/x:\(index)", namespace: namespace) }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(images.map(\.id)).count == 1 && images.count == 8)
            #expect(registry.requests.filter { $0.path.hasSuffix("\(real.blob.digest)") }.count == 1)
            // Each caller's own credential resolved the manifest.
            #expect(registry.requests.filter { $0.path.contains("/manifests/") }.count == 8)
            #expect(try await services.leftovers() == [])
        }
    }

    @Test func `the platform decides`() async throws {
        try await inCatalogWorld { _, registry, layout, services in
            var items: [String] = []
            var digests: [String: Digest] = [:]
            for (architecture, variant) in [("arm", "v6"), ("arm", "v7"), ("arm64", "v8"), ("amd64", "")] {
                let image = try layout.image(
                    [try layout.layer(ImageLayout.files(["a": architecture + variant]))], architecture: architecture)
                digests[architecture + variant] = image.digest
                let more = variant.isEmpty ? "" : #","variant":"\#(variant)""#
                items.append(
                    ImageLayout.json(
                        image, more: #","platform":{"os":"linux","architecture":"\#(architecture)"\#(more)}"#))
            }
            let text = #"{"schemaVersion":2,"manifests":[\#(items.joined(separator: ","))]}"#
            try layout.finish(try layout.add(Array(text.utf8), type: MediaType.ociIndex))
            for (wanted, got) in [("arm", "armv7"), ("arm64", "arm64v8"), ("amd64", "amd64")] {
                let image = try await services.pull(
                    "\(registry.host)/x:1", platform: Platform(architecture: wanted, os: "linux"))
                #expect(image.manifest.digest == digests[got], "\(wanted)")
            }
            let error = await failure {
                _ = try await services.pull(
                    "\(registry.host)/x:1", platform: Platform(architecture: "s390x", os: "linux"))
            }
            #expect(error?.code == .notFound && error?.message.contains("linux/arm/v6") == true)
        }
    }
}
