import BerthBase
import BerthServices
import BerthStore
import Dispatch
import Testing

@testable import MetadataPlugins

/// A store with one image: index → manifest → config, layer → snapshot, a container on it, as a pull and a run leave it.
private struct Yard: Sendable {
    let store: SQLiteMetadata
    let content = FakeContent()
    let snapshots: MetadataSnapshots
    let sweeper: GarbageSweeper
    let driver: FakeSnapshotter
    let manifest: Digest
    let config: Digest
    let layer: Digest
    static let ns: NamespaceID = "ns"
    static let target = SnapshotTarget("fake", in: ns)

    init(_ world: World, _ store: SQLiteMetadata, _ change: (inout SweeperConfig) -> Void = { _ in }) async throws {
        self.store = store
        driver = world.driver
        snapshots = try await world.snapshots(store)
        var settings = SweeperConfig()
        change(&settings)
        sweeper = GarbageSweeper(
            config: settings, metadata: store, content: content, snapshots: snapshots, logger: world.logger)
        (manifest, config, layer) = (try .test("1"), try .test("2"), try .test("3"))
        for (digest, size) in [(manifest, Int64(10)), (config, 20), (layer, 300)] { content.put(digest, size: size) }
        let (manifest, config, layer) = (manifest, config, layer)
        _ = try await snapshots.prepare("extract", parent: nil, readOnly: false, on: Self.target)
        try await snapshots.commit("chain", from: "extract", on: Self.target)
        try await store.write { writer in
            try writer.putBlob(
                BlobRecord(
                    digest: manifest, size: 10,
                    labels: [
                        "containerd.io/gc.ref.content.config": config.description,
                        "containerd.io/gc.ref.content.l.0": layer.description,
                    ]), in: Self.ns)
            try writer.putBlob(
                BlobRecord(digest: config, size: 20, labels: ["containerd.io/gc.ref.snapshot.fake": "chain"]),
                in: Self.ns)
            try writer.putBlob(BlobRecord(digest: layer, size: 300), in: Self.ns)
            let target = Descriptor(mediaType: "m", digest: manifest, size: 10)
            try writer.putImage(ImageRecord(name: "busybox", target: target), in: Self.ns)
        }
    }

    func write(_ body: @escaping @Sendable (any MetadataWriter) throws -> Void) async throws {
        try await store.write(body)
    }
    func deleteImage() async throws { try await store.write { try $0.deleteImage("busybox", in: Self.ns) } }

    /// What there is: blobs' rows, bytes, and snapshots' rows.
    func state() async throws -> (rows: Int, bytes: Int, snapshots: [SnapshotKey], driver: Int) {
        let rows = try await store.read { try $0.blobs(in: Self.ns, filters: []).count }
        let keys = try await store.read { try $0.snapshots(of: "fake", in: Self.ns, filters: []).map(\.key) }
        return (rows, content.digests.count, keys, await driver.infos.count)
    }
}

@Suite struct GarbageTests {
    private func with(
        _ change: @Sendable (inout SweeperConfig) -> Void = { _ in }, _ body: @Sendable (Yard) async throws -> Void
    ) async throws {
        let world = try World()
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            try await body(try await Yard(world, store, change))
        }
    }

    @Test func `what an image refers to stays`() async throws {
        try await with { yard in
            let report = try await yard.sweeper.collect()
            #expect(report.removed.isEmpty)
            #expect(report.kept == 5)
            #expect(try await yard.state() == (3, 3, ["chain"], 1))
        }
    }

    @Test func `without its image everything goes, rows, bytes and snapshots, as the plan said`() async throws {
        try await with { yard in
            try await yard.deleteImage()
            let plan = try await yard.sweeper.plan()
            #expect(plan.removed.map(\.kind) == [.content, .content, .content, .snapshot])
            #expect(plan.bytes == 330 + 4096)
            #expect(plan.kept == 0)
            #expect(try await yard.state() == (3, 3, ["chain"], 1))
            let report = try await yard.sweeper.collect()
            #expect(report.bytes == plan.bytes)
            #expect(try await yard.state() == (0, 0, [], 0))
            #expect(await yard.driver.cleanups == 1)
        }
    }

    @Test func `a container keeps its snapshot and that one's parents, not the blobs`() async throws {
        try await with { yard in
            _ = try await yard.snapshots.prepare("c", parent: "chain", readOnly: false, on: Yard.target)
            try await yard.write { writer in
                var container = ContainerRecord(id: "c", runtime: "r")
                container.snapshotter = "fake"
                container.snapshotKey = "c"
                try writer.createContainer(container, in: Yard.ns)
                try writer.deleteImage("busybox", in: Yard.ns)
            }
            _ = try await yard.sweeper.collect()
            #expect(try await yard.state() == (0, 0, ["c", "chain"], 2))
            let chain = try await yard.sweeper.explain("chain", in: Yard.ns)
            #expect(chain?.map(\.why) == ["root: a container", "the container's root file system", "its parent"])
            try await yard.write { try $0.deleteContainer("c", in: Yard.ns) }
            _ = try await yard.sweeper.collect()
            #expect(try await yard.state() == (0, 0, [], 0))
        }
    }

    @Test func `a lease keeps what it holds and what that refers to; a flat one keeps no further`() async throws {
        for isFlat in [false, true] {
            try await with { yard in
                let manifest = yard.manifest
                try await yard.write { writer in
                    let labels = isFlat ? ["containerd.io/gc.flat": ""] : [:]
                    try writer.createLease(LeaseRecord(id: "l", labels: labels), in: Yard.ns)
                    try writer.addResource(.content(manifest), to: "l", in: Yard.ns)
                }
                try await yard.deleteImage()
                _ = try await yard.sweeper.collect()
                let state = try await yard.state()
                #expect(state == (isFlat ? (1, 1, [], 0) : (3, 3, ["chain"], 1)))
                try await yard.write { try $0.deleteLease("l", in: Yard.ns) }
                _ = try await yard.sweeper.collect()
                #expect(try await yard.state() == (0, 0, [], 0))
            }
        }
    }

    @Test func `an expired lease or image keeps nothing and goes itself`() async throws {
        try await with { yard in
            let manifest = yard.manifest
            let past = Timestamp(nanoseconds: Timestamp.now().nanoseconds - 1_000_000_000).rfc3339
            try await yard.write { writer in
                try writer.createLease(LeaseRecord(id: "l", labels: ["containerd.io/gc.expire": past]), in: Yard.ns)
                try writer.addResource(.content(manifest), to: "l", in: Yard.ns)
                var image = try writer.image("busybox", in: Yard.ns)
                image.labels["containerd.io/gc.expire"] = past
                try writer.putImage(image, in: Yard.ns)
            }
            let report = try await yard.sweeper.collect()
            #expect(Set(report.removed.map(\.kind)) == [.content, .image, .lease, .snapshot])
            #expect(try await yard.state() == (0, 0, [], 0))
        }
    }

    @Test func `labels make roots, references and references backwards`() async throws {
        try await with { yard in
            let (config, layer, manifest) = (yard.config, yard.layer, yard.manifest)
            try await yard.write { writer in
                try writer.deleteImage("busybox", in: Yard.ns)
                // The config by itself, the layer as long as a sandbox lives, the manifest by nothing.
                var blob = try writer.blob(config, in: Yard.ns)
                blob.labels = ["containerd.io/gc.root": "now"]
                try writer.putBlob(blob, in: Yard.ns)
                blob = try writer.blob(layer, in: Yard.ns)
                blob.labels = ["containerd.io/gc.bref.sandbox.any": "p"]
                try writer.putBlob(blob, in: Yard.ns)
                try writer.createSandbox(SandboxRecord(id: "p", runtime: "r"), in: Yard.ns)
                _ = manifest
            }
            _ = try await yard.sweeper.collect()
            #expect(yard.content.digests == [config, layer])
            #expect(try await yard.sweeper.explain(layer.description, in: Yard.ns)?.first?.why == "root: a sandbox")
            try await yard.write { try $0.deleteSandbox("p", in: Yard.ns) }
            _ = try await yard.sweeper.collect()
            #expect(yard.content.digests == [config])
        }
    }

    @Test func `bytes stay while another namespace sees the blob`() async throws {
        try await with { yard in
            let layer = yard.layer
            try await yard.write { writer in
                try writer.putBlob(
                    BlobRecord(digest: layer, size: 300, labels: ["containerd.io/gc.root": "x"]), in: "other")
            }
            try await yard.deleteImage()
            #expect(try await yard.sweeper.plan().bytes == 30 + 4096)
            _ = try await yard.sweeper.collect()
            #expect(yard.content.digests == [layer])
        }
    }

    @Test func `bytes without a row go when they are old, unless a lease holds them`() async throws {
        try await with { yard in
            let digests = [try Digest.test("a"), try Digest.test("b"), try Digest.test("c")]
            for digest in digests { yard.content.put(digest, size: 1, age: digest == digests[0] ? 60 : 7200) }
            try await yard.write { writer in
                try writer.createLease(LeaseRecord(id: "l"), in: Yard.ns)
                try writer.addResource(.content(digests[1]), to: "l", in: Yard.ns)
            }
            let report = try await yard.sweeper.collect()
            #expect(
                report.removed == [GarbageItem(namespace: "", kind: .content, key: digests[2].description, size: 1)])
        }
    }

    @Test func `an unfinished download goes when nobody goes on with it, unless a lease holds it`() async throws {
        try await with { yard in
            for (ref, hours) in [("young", Int64(1)), ("old", 25), ("held", 25)] {
                yard.content.begin(ref, age: hours * 3600)
            }
            try await yard.write { writer in
                try writer.createLease(LeaseRecord(id: "l"), in: Yard.ns)
                try writer.addResource(.ingest(ref: "held"), to: "l", in: Yard.ns)
            }
            #expect(try await yard.sweeper.plan().removed.map(\.key) == ["old"])
            #expect(try await yard.sweeper.collect().removed.map(\.key) == ["old"])
            #expect(yard.content.state.withLock { $0.ingests.keys.sorted() } == ["held", "young"])
        }
    }

    @Test func `what is referred to between marking and sweeping stays`() async throws {
        try await with { yard in
            try await yard.deleteImage()
            let manifest = yard.manifest
            // A pull's transaction is at the writer while the collection reads; the sweep comes behind it.
            let gate = DispatchSemaphore(value: 0)
            async let pull: Void = yard.write { writer in
                gate.wait()
                try writer.createLease(LeaseRecord(id: "l"), in: Yard.ns)
                try writer.addResource(.content(manifest), to: "l", in: Yard.ns)
            }
            try await Task.sleep(for: .milliseconds(20))
            async let report = yard.sweeper.collect()
            try await Task.sleep(for: .milliseconds(100))
            gate.signal()
            try await pull
            #expect(try await report.removed.isEmpty)
            #expect(try await yard.state() == (3, 3, ["chain"], 1))
        }
    }

    @Test func `many rows go in small transactions, children before parents`() async throws {
        try await with({ $0.batch = 3 }) { yard in
            for number in 0..<10 {
                let parent = number == 0 ? "chain" : "layer \(number - 1)"
                let key = SnapshotKey("extract \(number)")
                _ = try await yard.snapshots.prepare(key, parent: SnapshotKey(parent), readOnly: false, on: Yard.target)
                try await yard.snapshots.commit(SnapshotKey("layer \(number)"), from: key, on: Yard.target)
            }
            let before = yard.store.database.statistics.transactions
            try await yard.deleteImage()
            #expect(try await yard.sweeper.collect().removed.count == 14)
            #expect(try await yard.state() == (0, 0, [], 0))
            #expect(yard.store.database.statistics.transactions - before > 5)
        }
    }

    @Test func `a snapshot that the driver cannot remove is found at the next start`() async throws {
        let world = try World()
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let yard = try await Yard(world, store)
            try await yard.deleteImage()
            await world.driver.fail(with: BerthError(.unavailable, "busy"))
            _ = try await yard.sweeper.collect()
            #expect(await world.driver.infos.count == 1)
            await world.driver.fail(with: nil)
            _ = try await world.snapshots(store)
            #expect(await world.driver.infos.isEmpty)
        }
    }

    @Test func `explain knows what nothing keeps from what there is not`() async throws {
        try await with { yard in
            let layer = yard.layer.description
            let chain = try await yard.sweeper.explain(layer, in: Yard.ns)
            #expect(chain?.map(\.key) == ["busybox", yard.manifest.description, layer])
            #expect(chain?.last?.why == "label containerd.io/gc.ref.content.l.0")
            try await yard.deleteImage()
            #expect(try await yard.sweeper.explain(layer, in: Yard.ns) == nil)
            await expect(.notFound) { _ = try await yard.sweeper.explain("nothing", in: Yard.ns) }
        }
    }

    @Test func `a database that fails stops a collection with its code, before any bytes go`() async throws {
        try await with { yard in
            try await yard.deleteImage()
            await yard.store.database.close()
            await expect(.unavailable) { _ = try await yard.sweeper.collect() }
            #expect(yard.content.digests.count == 3)
        }
    }
}
