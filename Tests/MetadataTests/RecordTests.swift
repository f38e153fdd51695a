import BerthBase
import BerthServices
import BerthStore
import Testing

@testable import MetadataPlugins

@Suite struct RecordTests {
    private let ns: NamespaceID = "k8s.io"

    private func image(_ name: String, _ labels: [String: String] = [:]) throws -> ImageRecord {
        ImageRecord(
            name: name,
            target: Descriptor(
                mediaType: "application/vnd.oci.image.manifest.v1+json", digest: try .test("a"), size: 7),
            labels: labels)
    }

    @Test func `every kind of record survives a restart as it was, messages byte for byte`() async throws {
        let world = try World()
        let ns = ns
        var container = ContainerRecord(id: "c1", runtime: "io.containerd.berth.v1")
        container.spec = AnyMessage(
            typeURL: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: [0, 1, 255, 10])
        container.extensions = ["io.cri-containerd": AnyMessage(typeURL: "x", value: [7])]
        container.snapshotKey = "c1"
        container.sandboxID = "p1"
        let sandbox = SandboxRecord(id: "p1", runtime: "io.containerd.berth.v1")
        let blob = BlobRecord(digest: try .test("b"), size: 9, labels: ["x": "1"])
        let image = try image("docker.io/library/busybox:1.36")
        let kept = container
        try await world.with { store in
            try await store.write { writer in
                try writer.createContainer(kept, in: ns)
                try writer.createSandbox(sandbox, in: ns)
                try writer.putImage(image, in: ns)
                try writer.putBlob(blob, in: ns)
                try writer.createLease(LeaseRecord(id: "l1", labels: ["containerd.io/gc.flat": ""]), in: ns)
            }
        }
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            try await store.read { (reader: any MetadataReader) throws -> Void in
                #expect(try reader.container("c1", in: ns) == kept)
                #expect(try reader.sandbox("p1", in: ns) == sandbox)
                #expect(try reader.image(image.name, in: ns).target == image.target)
                #expect(try reader.blob(blob.digest, in: ns).labels == ["x": "1"])
                #expect(try reader.lease("l1", in: ns).labels == ["containerd.io/gc.flat": ""])
                #expect(try reader.namespaces().map(\.name) == [ns])
            }
        }
    }

    @Test func `namespaces do not see each other`() async throws {
        let image = try image("a")
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            try await store.write { try $0.putImage(image, in: "one") }
            #expect(try await store.read { try $0.images(in: "two", filters: []) }.isEmpty)
            await expect(.notFound) { try await store.write { try $0.deleteImage("a", in: "two") } }
            await expect(.failedPrecondition) { try await store.write { try $0.deleteNamespace("one") } }
            try await store.write { writer in
                try writer.deleteImage("a", in: "one")
                try writer.deleteNamespace("one")
            }
            await expect(.notFound) { try await store.write { try $0.deleteNamespace("one") } }
        }
    }

    @Test(arguments: ["", "-a", "a-", "a..b", "a/b", "ä", String(repeating: "a", count: 77), "a b"])
    func `an identifier outside the grammar is refused`(_ id: String) async throws {
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            let attempts: [@Sendable (any MetadataWriter) throws -> Void] = [
                { try $0.createContainer(ContainerRecord(id: ContainerID(id), runtime: "r"), in: "ok") },
                { try $0.createSandbox(SandboxRecord(id: PodID(id), runtime: "r"), in: "ok") },
                { try $0.putNamespace(NamespaceID(id), labels: [:]) },
                { try $0.createSandbox(SandboxRecord(id: "p", runtime: "r"), in: NamespaceID(id)) },
            ]
            for attempt in attempts { #expect(await code { try await store.write(attempt) } == .invalidArgument) }
            #expect(try await store.read { try $0.namespaces() }.isEmpty)
        }
    }

    @Test func `a label of 4096 bytes with its value is the longest`() async throws {
        let fits = try image("a", ["key": String(repeating: "v", count: 4093)])
        let long = try image("b", ["key": String(repeating: "v", count: 4094)])
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            try await store.write { try $0.putImage(fits, in: "ns") }
            await expect(.invalidArgument) { try await store.write { try $0.putImage(long, in: "ns") } }
        }
    }

    @Test func `create refuses what exists, update and delete what does not`() async throws {
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            let record = ContainerRecord(id: "c", runtime: "r")
            await expect(.notFound) { try await store.write { try $0.updateContainer(record, in: "ns") } }
            try await store.write { try $0.createContainer(record, in: "ns") }
            await expect(.alreadyExists) { try await store.write { try $0.createContainer(record, in: "ns") } }
            try await store.write { try $0.deleteContainer("c", in: "ns") }
            await expect(.notFound) { try await store.write { try $0.deleteContainer("c", in: "ns") } }
            await expect(.notFound) { _ = try await store.read { try $0.container("c", in: "ns") } }
        }
    }

    @Test func `an update keeps when it was made and says when it changed`() async throws {
        let made = Timestamp(nanoseconds: 1_000)
        let first = ImageRecord(name: "a", target: try image("a").target, createdAt: made)
        let again = try image("a", ["x": "y"])
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            try await store.write { try $0.putImage(first, in: "ns") }
            try await store.write { try $0.putImage(again, in: "ns") }
            let found = try await store.read { try $0.image("a", in: "ns") }
            #expect(found.createdAt == made)
            #expect(found.updatedAt > made)
            #expect(found.labels == ["x": "y"])
        }
    }

    @Test func `filters choose by the fields of each kind`() async throws {
        let image = try image("docker.io/library/busybox:1", ["app": "x"])
        var container = ContainerRecord(id: "c", runtime: "io.containerd.runc.v2")
        container.image = image.name
        let record = container
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            try await store.write { writer in
                try writer.putImage(image, in: "ns")
                try writer.createContainer(record, in: "ns")
            }
            try await store.read { (reader: any MetadataReader) throws -> Void in
                #expect(try reader.images(in: "ns", filters: ["name~=/busybox/,labels.app==x"]).count == 1)
                #expect(try reader.images(in: "ns", filters: ["target.digest==\(image.target.digest)"]).count == 1)
                #expect(try reader.images(in: "ns", filters: ["labels.app==y"]).isEmpty)
                #expect(try reader.containers(in: "ns", filters: ["image==\(image.name)", "id==other"]).count == 1)
                #expect(try reader.containers(in: "ns", filters: ["runtime.name==io.containerd.runc.v2"]).count == 1)
                #expect(try reader.containers(in: "ns", filters: ["sandbox"]).isEmpty)
            }
            await expect(.invalidArgument) { _ = try await store.read { try $0.images(in: "ns", filters: ["name="]) } }
        }
    }

    @Test func `a lease holds what it was given, once, until it is deleted`() async throws {
        let all: [LeaseResource] = [
            .content(try .test("c")), .image(name: "docker.io/x y:1"), .ingest(ref: "layer sha256:…"),
            .snapshot(snapshotter: "overlay", key: "a key"),
        ]
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            await expect(.notFound) { try await store.write { try $0.addResource(all[0], to: "l", in: "ns") } }
            try await store.write { try $0.createLease(LeaseRecord(id: "l"), in: "ns") }
            for _ in 0..<2 {
                try await store.write { writer in for one in all { try writer.addResource(one, to: "l", in: "ns") } }
            }
            #expect(try await store.read { try $0.resources(of: "l", in: "ns") } == all)
            try await store.write { try $0.removeResource(all[3], from: "l", in: "ns") }
            #expect(try await store.read { try $0.resources(of: "l", in: "ns") } == Array(all.dropLast()))
            try await store.write { writer in
                try writer.deleteLease("l", in: "ns")
                try writer.createLease(LeaseRecord(id: "l"), in: "ns")
            }
            #expect(try await store.read { try $0.resources(of: "l", in: "ns") }.isEmpty)
        }
    }

    @Test func `a transaction that throws leaves nothing`() async throws {
        let image = try image("a")
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            let result = await code {
                try await store.write { writer in
                    try writer.putImage(image, in: "ns")
                    try writer.deleteImage("missing", in: "ns")
                }
            }
            #expect(result == .notFound)
            #expect(try await store.read { try $0.namespaces() }.isEmpty)
        }
    }

    @Test func `a plugin's own values are apart from another's, and found by prefix`() async throws {
        try await World().with { (store: SQLiteMetadata) async throws -> Void in
            try await store.write { writer in
                try writer.setValue([1], for: "pod/a", table: "cni")
                try writer.setValue([2], for: "pod/b", table: "cni")
                try writer.setValue([3], for: "pod/a", table: "other")
                try writer.setValue([4], for: "po", table: "cni")
            }
            #expect(try await store.read { try $0.values(table: "cni", prefix: "pod/") }.map(\.value) == [[1], [2]])
            try await store.write { try $0.setValue(nil, for: "pod/a", table: "cni") }
            #expect(try await store.read { try $0.value("pod/a", table: "cni") } == nil)
            #expect(try await store.read { try $0.value("pod/a", table: "other") } == [3])
        }
    }

    @Test func `a record that cannot be read is put into quarantine, named, and the others are served`() async throws {
        let world = try World()
        let images = [try image("a"), try image("b")]
        try await world.with { store in
            try await store.write { writer in for one in images { try writer.putImage(one, in: "ns") } }
            try await store.database.write(durable: false) { connection in
                _ = try connection.run("UPDATE record SET data = x'7b' WHERE key = 'a'")
            }
            await expect(.dataLoss) { _ = try await store.read { try $0.image("a", in: "ns") } }
        }
        try await world.with { store in
            let report = try await store.mend(nil, world.logger)
            #expect(report == "1 records could not be read and were put into quarantine: image 'a' of namespace 'ns'")
            #expect(try await store.read { try $0.images(in: "ns", filters: []) }.map(\.name) == ["b"])
            await expect(.notFound) { _ = try await store.read { try $0.image("a", in: "ns") } }
            let kept = try await store.database.read { try $0.first("SELECT data FROM quarantine")?[0].bytes }
            #expect(kept == [0x7b])
            #expect(try await store.mend(nil, world.logger) == nil)
        }
    }
}
