internal import BerthBase
package import BerthKernel
internal import BerthServices

extension Plugin {
    /// Namespaced snapshots over every snapshot driver.
    package static let metadataSnapshots = Plugin(
        "metadata", provides: .snapshots, config: NoConfig.self, requires: .one(.metadata), .all(.snapshotter)
    ) { context, metadata, drivers in
        let service = MetadataSnapshots(metadata: metadata, drivers: drivers)
        try await SnapshotReconciliation(service: service, logger: context.logger).run()
        context.run("free the space of unfinished snapshots") {
            for (_, driver) in drivers.all { try await driver.cleanup() }
        }
        return service
    }
}

/// The driver's key of a snapshot: `namespace/sequence/key`. The sequence is never used twice, so it also ties an
/// active snapshot to the committed one it becomes.
struct BackendKey: Hashable {
    let namespace: NamespaceID
    let sequence: String
    let key: SnapshotKey

    /// Nil for a key that the metadata store did not make.
    init?(_ key: SnapshotKey) {
        let parts = key.rawValue.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, !parts[0].isEmpty, UInt64(parts[1]) != nil, !parts[2].isEmpty else { return nil }
        namespace = NamespaceID(parts[0])
        sequence = parts[1]
        self.key = SnapshotKey(parts[2])
    }

    /// The backend key of the committed snapshot that `active` becomes.
    static func committed(_ name: SnapshotKey, from active: SnapshotKey) -> SnapshotKey {
        guard let parsed = BackendKey(active) else { return name }
        return SnapshotKey("\(parsed.namespace)/\(parsed.sequence)/\(name)")
    }
}

/// Rows first, then the driver; what a crash left between the two is mended at the next start.
struct MetadataSnapshots: SnapshotService {
    let metadata: any MetadataStore
    let drivers: Providers<any Snapshotter>
    /// One commit a name at a time: the second finds the first one's row.
    private let names = KeyedLanes<String>()

    init(metadata: any MetadataStore, drivers: Providers<any Snapshotter>) {
        self.metadata = metadata
        self.drivers = drivers
    }

    var snapshotters: [String] { drivers.names }

    func driver(_ snapshotter: String) throws -> any Snapshotter {
        guard let driver = drivers[snapshotter] else {
            throw BerthError(
                .notFound, "no snapshotter '\(snapshotter)' runs; there are: \(snapshotters.joined(separator: ", "))")
        }
        return driver
    }

    /// Reference labels are ours; a driver gets the others.
    private func driverLabels(_ labels: [String: String]) -> [String: String] {
        labels.filter { !$0.key.hasPrefix("containerd.io/gc.") }
    }

    func prepare(
        _ key: SnapshotKey, parent: SnapshotKey?, readOnly: Bool, on target: SnapshotTarget
    ) async throws -> [Mount] {
        let driver = try driver(target.snapshotter)
        let resource = LeaseResource.snapshot(snapshotter: target.snapshotter, key: key)
        let (record, backendParent) = try await metadata.write { writer in
            let record = try writer.createSnapshot(
                key, parent: parent, of: target.snapshotter, labels: target.labels, in: target.namespace)
            if let lease = target.lease { try writer.addResource(resource, to: lease, in: target.namespace) }
            let above = try parent.map {
                try writer.snapshot($0, of: target.snapshotter, in: target.namespace).backendKey
            }
            return (record, above)
        }
        FaultPoint.hit("snapshots.after-row")
        do {
            let labels = driverLabels(target.labels)
            let mounts =
                readOnly
                ? try await driver.view(record.backendKey, parent: backendParent, labels: labels)
                : try await driver.prepare(record.backendKey, parent: backendParent, labels: labels)
            FaultPoint.hit("snapshots.after-prepare")
            return mounts
        } catch {
            try? await metadata.write { writer in
                try writer.deleteSnapshot(key, of: target.snapshotter, in: target.namespace)
                if let lease = target.lease { try writer.removeResource(resource, from: lease, in: target.namespace) }
            }
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
        try await names.run("\(target.namespace)/\(target.snapshotter)/\(name)") {
            try await commitAlone(name, from: key, on: target)
        }
    }

    private func commitAlone(_ name: SnapshotKey, from key: SnapshotKey, on target: SnapshotTarget) async throws {
        let driver = try driver(target.snapshotter)
        guard !name.rawValue.isEmpty else { throw BerthError(.invalidArgument, "commit snapshot '\(key)': no name") }
        let active = try await record(key, target)
        if (try? await record(name, target)) != nil {
            throw BerthError(.alreadyExists, "snapshot '\(name)' exists in namespace '\(target.namespace)'")
        }
        let backendName = BackendKey.committed(name, from: active.backendKey)
        try await driver.commit(
            backendName, from: active.backendKey, parent: nil, labels: driverLabels(target.labels))
        FaultPoint.hit("snapshots.after-commit")
        try await metadata.write(durability: .powerCut) { writer in
            var record = active
            record.key = name
            record.backendKey = backendName
            record.labels.merge(target.labels) { _, new in new }
            try writer.updateSnapshot(key, with: record, in: target.namespace)
            guard let lease = target.lease else { return }
            let snapshotter = target.snapshotter
            try writer.removeResource(.snapshot(snapshotter: snapshotter, key: key), from: lease, in: target.namespace)
            try writer.addResource(.snapshot(snapshotter: snapshotter, key: name), to: lease, in: target.namespace)
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
}
