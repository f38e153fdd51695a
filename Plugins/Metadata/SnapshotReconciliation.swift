internal import BerthBase
internal import BerthKernel
internal import BerthServices
internal import Logging

/// Brings rows and drivers into step at the start: what a crash left between the two.
///
/// - A row whose snapshot was committed, but not renamed in the row, is renamed.
/// - A row without a snapshot is dropped.
/// - A snapshot without a row is removed; after the database was damaged, its row is made again instead.
struct SnapshotReconciliation {
    let service: MetadataSnapshots
    let logger: Logger

    private struct Row {
        let namespace: NamespaceID
        let record: SnapshotRecord
    }

    func run() async throws {
        let isDamaged = try await service.metadata.read { try $0.value(DamageNote.key, table: DamageNote.table) } != nil
        for (name, driver) in service.drivers.all {
            do { try await mend(name, driver, adopts: isDamaged) } catch {
                // One driver that does not answer keeps nobody else from running.
                logger.error(
                    "snapshots were not reconciled", metadata: ["snapshotter": "\(name)", "error": "\(error)"])
            }
        }
    }

    private func mend(_ name: String, _ driver: any Snapshotter, adopts: Bool) async throws {
        let there = try await driver.list()
        let rows = try await service.metadata.read { reader in
            try reader.namespaces().flatMap { namespace in
                try reader.snapshots(of: name, in: namespace.name, filters: [])
                    .map { Row(namespace: namespace.name, record: $0) }
            }
        }
        var known = Set(rows.map(\.record.backendKey))
        known.formUnion(try await mend(rows, against: there, name))
        let strays = there.filter { !known.contains($0.key) }
        if adopts { try await adopt(strays, name) } else { try await remove(strays, driver) }
    }

    /// Rows whose snapshot is not there under the row's key; the backend keys of those that were renamed.
    private func mend(
        _ rows: [Row], against there: [SnapshotInfo], _ snapshotter: String
    ) async throws -> Set<SnapshotKey> {
        let keys = Set(there.map(\.key))
        var committed: [String: SnapshotKey] = [:]
        for info in there where info.kind == .committed {
            if let parsed = BackendKey(info.key) { committed["\(parsed.namespace)/\(parsed.sequence)"] = info.key }
        }
        var renamed: Set<SnapshotKey> = []
        var missing: [Row] = []
        for row in rows where !keys.contains(row.record.backendKey) {
            guard let parsed = BackendKey(row.record.backendKey),
                let backend = committed["\(parsed.namespace)/\(parsed.sequence)"], let name = BackendKey(backend)?.key
            else {
                missing.append(row)
                continue
            }
            logger.notice("finishing the commit of a snapshot", metadata: ["snapshot": "\(name)"])
            var record = row.record
            record.key = name
            record.backendKey = backend
            let finished = record
            do {
                try await service.metadata.write(durability: .powerCut) { writer in
                    try writer.updateSnapshot(row.record.key, with: finished, in: row.namespace)
                }
                renamed.insert(backend)
            } catch { missing.append(row) }
        }
        try await drop(missing, snapshotter)
        return renamed
    }

    /// Children before parents: a row that others stand on cannot be deleted.
    private func drop(_ rows: [Row], _ snapshotter: String) async throws {
        var rest = rows
        while let index = rest.firstIndex(where: { row in
            !rest.contains { $0.namespace == row.namespace && $0.record.parent == row.record.key }
        }) {
            let row = rest.remove(at: index)
            logger.notice("dropping the row of a missing snapshot", metadata: ["snapshot": "\(row.record.key)"])
            do {
                try await service.metadata.write { writer in
                    try writer.deleteSnapshot(row.record.key, of: snapshotter, in: row.namespace)
                }
            } catch {
                logger.error(
                    "a row without a snapshot stays", metadata: ["snapshot": "\(row.record.key)", "error": "\(error)"])
            }
        }
    }

    private func remove(_ strays: [SnapshotInfo], _ driver: any Snapshotter) async throws {
        var rest = strays
        while let index = rest.firstIndex(where: { stray in !rest.contains { $0.parent == stray.key } }) {
            let stray = rest.remove(at: index)
            logger.notice("removing a snapshot without a row", metadata: ["snapshot": "\(stray.key)"])
            do { try await driver.remove(stray.key) } catch {
                logger.error(
                    "a snapshot without a row stays", metadata: ["snapshot": "\(stray.key)", "error": "\(error)"])
            }
        }
    }

    /// Makes rows for snapshots whose rows were lost, parents first.
    private func adopt(_ strays: [SnapshotInfo], _ snapshotter: String) async throws {
        var rest = strays
        while let index = rest.firstIndex(where: { stray in !rest.contains { $0.key == stray.parent } }) {
            let stray = rest.remove(at: index)
            guard let backend = BackendKey(stray.key) else { continue }
            let record = SnapshotRecord(
                snapshotter: snapshotter, key: backend.key, backendKey: stray.key,
                parent: stray.parent.flatMap(BackendKey.init)?.key, labels: stray.labels, createdAt: stray.createdAt)
            logger.notice("making the row of a snapshot again", metadata: ["snapshot": "\(stray.key)"])
            do {
                try await service.metadata.write { writer in
                    _ = try writer.createSnapshot(
                        record.key, parent: record.parent, of: snapshotter, labels: record.labels, in: backend.namespace
                    )
                    try writer.updateSnapshot(record.key, with: record, in: backend.namespace)
                }
            } catch {
                logger.error(
                    "a snapshot stays without a row", metadata: ["snapshot": "\(stray.key)", "error": "\(error)"])
            }
        }
    }
}
