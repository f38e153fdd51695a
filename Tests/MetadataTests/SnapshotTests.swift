import BerthBase
import BerthServices
import BerthStore
import Testing

@testable import MetadataPlugins

@Suite struct SnapshotTests {
    private let target = SnapshotTarget("fake", in: "ns")

    private func rows(_ store: SQLiteMetadata) async throws -> [SnapshotKey] {
        try await store.read { try $0.snapshots(of: "fake", in: "ns", filters: []) }.map(\.key)
    }

    @Test func `a layer and a container on it live and die as rows and snapshots`() async throws {
        let world = try World()
        let target = target
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            let labels = ["containerd.io/gc.ref.snapshot.fake": "x", "containerd.io/snapshot/a": "b"]
            var labelled = target
            labelled.labels = labels
            _ = try await service.prepare("extract", parent: nil, readOnly: false, on: labelled)
            try await service.commit("chain", from: "extract", on: target)
            let mounts = try await service.prepare("c1", parent: "chain", readOnly: false, on: target)
            #expect(mounts.first?.source == "ns/2/c1")
            let info = try await service.stat("c1", on: target)
            #expect(info.parent == "chain")
            #expect(info.kind == .active)
            #expect(try await service.stat("chain", on: target).labels == labels)
            #expect(await world.driver.infos.keys.sorted() == ["ns/1/chain", "ns/2/c1"])
            await expect(.failedPrecondition) { try await service.remove("chain", on: target) }
            #expect(try await service.usage(of: "c1", on: target).size == 4096)
            try await service.remove("c1", on: target)
            try await service.remove("chain", on: target)
            #expect(await world.driver.infos.isEmpty)
            #expect(try await rows(store).isEmpty)
        }
    }

    @Test func `reference labels stay in the row and are not given to the driver`() async throws {
        let world = try World()
        var target = target
        target.labels = ["containerd.io/gc.root": "now", "containerd.io/snapshot/a": "b"]
        let labelled = target
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            _ = try await world.snapshots(store).prepare("k", parent: nil, readOnly: true, on: labelled)
            #expect(await world.driver.infos["ns/1/k"]?.labels == ["containerd.io/snapshot/a": "b"])
        }
    }

    @Test func `two namespaces may use the same key and the driver keeps them apart`() async throws {
        let world = try World()
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            for namespace in ["one", "two"] as [NamespaceID] {
                _ = try await service.prepare(
                    "k", parent: nil, readOnly: false, on: SnapshotTarget("fake", in: namespace))
            }
            #expect(await world.driver.infos.count == 2)
        }
    }

    @Test func `a driver that refuses leaves no row and no resource of the lease`() async throws {
        let world = try World()
        var leased = target
        leased.lease = "l"
        let target = leased
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            try await store.write { try $0.createLease(LeaseRecord(id: "l"), in: "ns") }
            await world.driver.fail(with: BerthError(.resourceExhausted, "full"))
            let result = await code { _ = try await service.prepare("k", parent: nil, readOnly: false, on: target) }
            #expect(result == .resourceExhausted)
            #expect(try await rows(store).isEmpty)
            #expect(try await store.read { try $0.resources(of: "l", in: "ns") }.isEmpty)
        }
    }

    @Test func `a lease holds the committed name once the key is gone`() async throws {
        let world = try World()
        var leased = target
        leased.lease = "l"
        let target = leased
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            try await store.write { try $0.createLease(LeaseRecord(id: "l"), in: "ns") }
            _ = try await service.prepare("k", parent: nil, readOnly: false, on: target)
            try await service.commit("chain", from: "k", on: target)
            #expect(
                try await store.read { try $0.resources(of: "l", in: "ns") } == [
                    .snapshot(snapshotter: "fake", key: "chain")
                ])
        }
    }

    @Test func `of two commits to one name the second is refused and its key stays`() async throws {
        let world = try World()
        let target = target
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            for key in ["a", "b"] as [SnapshotKey] {
                _ = try await service.prepare(key, parent: nil, readOnly: false, on: target)
            }
            async let first = code { try await service.commit("chain", from: "a", on: target) }
            async let second = code { try await service.commit("chain", from: "b", on: target) }
            let codes = await [first, second]
            #expect(codes.contains(nil) && codes.contains(.alreadyExists))
            #expect(try await rows(store).count == 2)
            #expect(await world.driver.infos.count == 2)
        }
    }

    @Test func `an unknown snapshotter names those there are`() async throws {
        let world = try World()
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            let error = await #expect(throws: BerthError.self) {
                try await service.remove("k", on: SnapshotTarget("zfs", in: "ns"))
            }
            #expect(error?.code == .notFound)
            #expect(error?.message.contains("fake") == true)
        }
    }

    // MARK: A kill between row and driver

    @Test func `a kill after the row, before the snapshot: the row goes`() async throws {
        let world = try World()
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            _ = try await store.write { try $0.createSnapshot("k", parent: nil, of: "fake", labels: [:], in: "ns") }
            let service = try await world.snapshots(store)
            #expect(try await rows(store).isEmpty)
            _ = try await service.prepare("k", parent: nil, readOnly: false, on: SnapshotTarget("fake", in: "ns"))
        }
    }

    @Test func `a kill after the driver's commit, before the row's: the commit is finished`() async throws {
        let world = try World()
        let target = target
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            _ = try await service.prepare("extract", parent: nil, readOnly: false, on: target)
            try await world.driver.commit("ns/1/chain", from: "ns/1/extract", parent: nil, labels: [:])
            let again = try await world.snapshots(store)
            #expect(try await rows(store) == ["chain"])
            #expect(try await again.stat("chain", on: target).kind == .committed)
        }
    }

    @Test func `a kill after the row's deletion, before the driver's: the snapshot goes, children first`() async throws
    {
        let world = try World()
        let target = target
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            _ = try await service.prepare("extract", parent: nil, readOnly: false, on: target)
            try await service.commit("chain", from: "extract", on: target)
            _ = try await service.prepare("c", parent: "chain", readOnly: false, on: target)
            try await store.write { writer in
                try writer.deleteSnapshot("c", of: "fake", in: "ns")
                try writer.deleteSnapshot("chain", of: "fake", in: "ns")
            }
            _ = try await world.snapshots(store)
            #expect(await world.driver.infos.isEmpty)
        }
    }

    @Test func `after rows were lost, snapshots are kept and their rows made again`() async throws {
        let world = try World()
        let target = target
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            let service = try await world.snapshots(store)
            _ = try await service.prepare("extract", parent: nil, readOnly: false, on: target)
            try await service.commit("chain", from: "extract", on: target)
            _ = try await service.prepare("c", parent: "chain", readOnly: false, on: target)
            try await store.database.write(durable: false) { connection in
                _ = try connection.run("UPDATE record SET data = x'00' WHERE kind = 'snapshot'")
            }
            _ = try await store.mend(nil, world.logger)
            let again = try await world.snapshots(store)
            #expect(try await rows(store) == ["c", "chain"])
            #expect(try await again.stat("c", on: target).parent == "chain")
            #expect(await world.driver.infos.count == 2)
        }
    }

    @Test func `a driver that does not answer at the start keeps nobody from starting`() async throws {
        let world = try World()
        try await world.with { (store: SQLiteMetadata) async throws -> Void in
            _ = try await store.write { try $0.createSnapshot("k", parent: nil, of: "fake", labels: [:], in: "ns") }
            await world.driver.fail(with: BerthError(.unavailable, "gone"))
            _ = try await world.snapshots(store)
            #expect(try await rows(store) == ["k"])
        }
    }
}
