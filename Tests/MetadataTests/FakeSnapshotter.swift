import BerthBase
import BerthServices

/// A driver without files, whose next call can be made to fail.
actor FakeSnapshotter: Snapshotter {
    private(set) var infos: [SnapshotKey: SnapshotInfo] = [:]
    private(set) var cleanups = 0
    var failure: BerthError?

    nonisolated var canRebase: Bool { true }

    func fail(with error: BerthError?) { failure = error }

    func stat(_ key: SnapshotKey) async throws -> SnapshotInfo {
        if let failure { throw failure }
        guard let info = infos[key] else { throw BerthError(.notFound, "snapshot '\(key)' does not exist") }
        return info
    }

    func update(_ key: SnapshotKey, labels: [String: String], fields: [String]) async throws -> SnapshotInfo {
        try await stat(key)
    }

    func usage(of key: SnapshotKey) async throws -> SnapshotUsage {
        _ = try await stat(key)
        return SnapshotUsage(inodes: 1, size: 4096)
    }

    func mounts(of key: SnapshotKey) async throws -> [Mount] {
        _ = try await stat(key)
        return [Mount(type: "fake", source: key.rawValue)]
    }

    func prepare(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws -> [Mount] {
        try await make(key, parent, .active, labels)
    }

    func view(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws -> [Mount] {
        try await make(key, parent, .view, labels)
    }

    private func make(
        _ key: SnapshotKey, _ parent: SnapshotKey?, _ kind: BerthServices.SnapshotKind, _ labels: [String: String]
    ) async throws -> [Mount] {
        if let failure { throw failure }
        guard infos[key] == nil else { throw BerthError(.alreadyExists, "'\(key)' exists") }
        if let parent { _ = try await stat(parent) }
        infos[key] = SnapshotInfo(
            key: key, parent: parent, kind: kind, labels: labels, createdAt: .now(), updatedAt: .now())
        return try await mounts(of: key)
    }

    func commit(_ name: SnapshotKey, from key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws
    {
        let info = try await stat(key)
        guard infos[name] == nil else { throw BerthError(.alreadyExists, "'\(name)' exists") }
        infos[key] = nil
        infos[name] = SnapshotInfo(
            key: name, parent: parent ?? info.parent, kind: .committed, labels: labels, createdAt: .now(),
            updatedAt: .now())
    }

    func remove(_ key: SnapshotKey) async throws {
        _ = try await stat(key)
        guard !infos.values.contains(where: { $0.parent == key }) else {
            throw BerthError(.failedPrecondition, "'\(key)' has children")
        }
        infos[key] = nil
    }

    func list() async throws -> [SnapshotInfo] {
        if let failure { throw failure }
        return infos.values.sorted { $0.key < $1.key }
    }
    func cleanup() async throws { cleanups += 1 }
    func makeDurable(_ name: SnapshotKey) async throws {}
    func durability(of name: SnapshotKey) async throws -> SnapshotDurability { .durable }
}
