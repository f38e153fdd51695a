internal import BerthBase
package import BerthKernel
internal import BerthServices
internal import Logging

extension Plugin {
    /// Namespaced snapshots over every snapshot driver.
    package static let metadataSnapshots = Plugin(
        "metadata", provides: .snapshots, config: NoConfig.self, requires: .one(.metadata), .all(.snapshotter)
    ) { context, metadata, drivers in
        let service = MetadataSnapshots(metadata: metadata, drivers: drivers)
        try await service.reconcile(context.logger)
        return service
    }
}

/// Rows first, then the driver; what a crash left between the two is mended at the next start.
struct MetadataSnapshots: SnapshotService {
    let metadata: any MetadataStore
    let drivers: Providers<any Snapshotter>

    var snapshotters: [String] { drivers.names }

    func driver(_ snapshotter: String) throws -> any Snapshotter {
        guard let driver = drivers[snapshotter] else {
            throw BerthError(
                .notFound, "no snapshotter '\(snapshotter)' runs; there are: \(snapshotters.joined(separator: ", "))")
        }
        return driver
    }

    func prepare(
        _ key: SnapshotKey, parent: SnapshotKey?, readOnly: Bool, on target: SnapshotTarget
    ) async throws -> [Mount] {
        let driver = try driver(target.snapshotter)
        let (record, backendParent) = try await metadata.write { writer in
            let record = try writer.createSnapshot(
                key, parent: parent, of: target.snapshotter, labels: target.labels, in: target.namespace)
            if let lease = target.lease {
                try writer.addResource(.snapshot(snapshotter: target.snapshotter, key: key), to: lease, in: target.namespace)
            }
            let above = try parent.map { try writer.snapshot($0, of: target.snapshotter, in: target.namespace).backendKey }
            return (record, above)
        }
        FaultPoint.hit("snapshots.after-row")
        do {
            let labels = target.labels.filter { !$0.key.hasPrefix("containerd.io/gc.") }
            return readOnly
                ? try await driver.view(record.backendKey, parent: backendParent, labels: labels)
                : try await driver.prepare(record.backendKey, parent: backendParent, labels: labels)
        } catch {
            try? await metadata.write { try $0.deleteSnapshot(key, of: target.snapshotter, in: target.namespace) }
            throw error
        }
    }

    private func record(_ key: SnapshotKey, _ target: SnapshotTarget) async throws -> SnapshotRecord {
        try await metadata.read { try $0.snapshot(key, of: target.snapshotter, in: target.namespace) }
    }

    func mounts(of key: SnapshotKey, on target: SnapshotTarget) async throws -> [Mount] {
        try await driver(target.snapshotter).mounts(of: try await record(key, target).backendKey)
    }

    func commit(_ name: SnapshotKey, from key: SnapshotKey, on target: SnapshotTarget) async throws {
        let driver = try driver(target.snapshotter)
        let active = try await record(key, target)
        if (try? await record(name, target)) != nil {
            throw BerthError(.alreadyExists, "snapshot '\(name)' exists in namespace '\(target.namespace)'")
        }
        // The committed snapshot keeps the active one's backend key with a mark, so that both sides agree after a crash.
        let backendName = SnapshotKey("\(active.backendKey)#committed")
        try await driver.commit(backendName, from: active.backendKey, parent: nil, labels: [:])
        FaultPoint.hit("snapshots.after-commit")
        try await metadata.write(durability: .powerCut) { writer in
            var record = active
            record.key = name
            record.backendKey = backendName
            record.labels.merge(target.labels) { _, new in new }
            try writer.updateSnapshot(key, with: record, in: target.namespace)
            if let lease = target.lease {
                try writer.removeResource(.snapshot(snapshotter: target.snapshotter, key: key), from: lease, in: target.namespace)
                try writer.addResource(.snapshot(snapshotter: target.snapshotter, key: name), to: lease, in: target.namespace)
            }
        }
    }

    func remove(_ key: SnapshotKey, on target: SnapshotTarget) async throws {
        let driver = try driver(target.snapshotter)
        let backend = try await metadata.write { writer in
            let record = try writer.snapshot(key, of: target.snapshotter, in: target.namespace)
            try writer.deleteSnapshot(key, of: target.snapshotter, in: target.namespace)
            return record.backendKey
        }
        FaultPoint.hit("snapshots.after-delete")
        // The row is gone: a snapshot the driver no longer has is what was wanted.
        do { try await driver.remove(backend) } catch let error as BerthError where error.code == .notFound {}
    }

    func stat(_ key: SnapshotKey, on target: SnapshotTarget) async throws -> SnapshotInfo {
        let record = try await record(key, target)
        var info = try await driver(target.snapshotter).stat(record.backendKey)
        info.key = key
        info.parent = record.parent
        info.labels = record.labels
        return info
    }

    func usage(of key: SnapshotKey, on target: SnapshotTarget) async throws -> SnapshotUsage {
        try await driver(target.snapshotter).usage(of: try await record(key, target).backendKey)
    }

    func makeDurable(_ name: SnapshotKey, on target: SnapshotTarget) async throws {
        try await driver(target.snapshotter).makeDurable(try await record(name, target).backendKey)
    }

    /// Drops rows without a snapshot and snapshots without a row, children before parents.
    func reconcile(_ logger: Logger) async throws {
        for (name, driver) in drivers.all {
            let there = try await driver.list()
            let keys = Set(there.map(\.key))
            let rows = try await metadata.read { reader in
                try reader.namespaces().flatMap { namespace in
                    try reader.snapshots(of: name, in: namespace.name, filters: []).map { (namespace.name, $0) }
                }
            }
            for (namespace, row) in rows.reversed() where !keys.contains(row.backendKey) {
                let committed = SnapshotKey("\(row.backendKey)#committed")
                logger.notice("dropping the row of a missing snapshot", metadata: ["snapshot": "\(row.key)"])
                // Committed by the driver but not renamed in the row: the layer is unpacked again.
                if keys.contains(committed) { try? await driver.remove(committed) }
                try? await metadata.write { try $0.deleteSnapshot(row.key, of: name, in: namespace) }
            }
            let known = Set(rows.map(\.1.backendKey))
            var strays = there.filter { !known.contains($0.key) }
            while let index = strays.firstIndex(where: { stray in !strays.contains { $0.parent == stray.key } }) {
                let stray = strays.remove(at: index)
                logger.notice("removing a snapshot without a row", metadata: ["snapshot": "\(stray.key)"])
                try? await driver.remove(stray.key)
            }
            try await driver.cleanup()
        }
    }
}
