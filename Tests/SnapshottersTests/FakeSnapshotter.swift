import BerthBase
import BerthServices

/// A snapshotter without files: what other modules' tests may stand on.
actor FakeSnapshotter: Snapshotter {
    private var infos: [SnapshotKey: SnapshotInfo] = [:]
    private var durable: Set<SnapshotKey> = []

    nonisolated var canRebase: Bool { true }

    func stat(_ key: SnapshotKey) async throws -> SnapshotInfo {
        guard let info = infos[key] else { throw BerthError(.notFound, "snapshot '\(key)' does not exist") }
        return info
    }

    func update(_ key: SnapshotKey, labels: [String: String], fields: [String]) async throws -> SnapshotInfo {
        var info = try await stat(key)
        if fields.isEmpty { info.labels = labels }
        for field in fields {
            guard field.hasPrefix("labels.") else { throw BerthError(.invalidArgument, "field '\(field)'") }
            let name = String(field.dropFirst(7))
            info.labels[name] = labels[name]
        }
        info.updatedAt = .now()
        infos[key] = info
        return info
    }

    func usage(of key: SnapshotKey) async throws -> SnapshotUsage {
        _ = try await stat(key)
        return SnapshotUsage(inodes: 1, size: 4096)
    }

    func mounts(of key: SnapshotKey) async throws -> [Mount] {
        guard try await stat(key).kind != .committed else {
            throw BerthError(.failedPrecondition, "'\(key)' is committed")
        }
        return [Mount(type: "fake", source: key.rawValue)]
    }

    func prepare(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws -> [Mount] {
        try await make(
            SnapshotInfo(key: key, parent: parent, kind: .active, labels: labels, createdAt: .now(), updatedAt: .now()))
    }

    func view(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws -> [Mount] {
        try await make(
            SnapshotInfo(key: key, parent: parent, kind: .view, labels: labels, createdAt: .now(), updatedAt: .now()))
    }

    private func make(_ info: SnapshotInfo) async throws -> [Mount] {
        guard infos[info.key] == nil else { throw BerthError(.alreadyExists, "'\(info.key)' exists") }
        if let parent = info.parent, try await stat(parent).kind != .committed {
            throw BerthError(.invalidArgument, "'\(parent)' is not committed")
        }
        infos[info.key] = info
        return try await mounts(of: info.key)
    }

    func commit(_ name: SnapshotKey, from key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws
    {
        let info = try await stat(key)
        guard info.kind == .active else { throw BerthError(.failedPrecondition, "'\(key)' is not active") }
        guard infos[name] == nil else { throw BerthError(.alreadyExists, "'\(name)' exists") }
        if let parent { _ = try await stat(parent) }
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

    func list() async throws -> [SnapshotInfo] { infos.values.sorted { $0.key < $1.key } }
    func cleanup() async throws {}

    func makeDurable(_ name: SnapshotKey) async throws {
        _ = try await durability(of: name)
        durable.insert(name)
    }

    func durability(of name: SnapshotKey) async throws -> SnapshotDurability {
        guard try await stat(name).kind == .committed else { throw BerthError(.failedPrecondition, "'\(name)'") }
        return durable.contains(name) ? .durable : .unpacked(bootID: "fake")
    }
}
