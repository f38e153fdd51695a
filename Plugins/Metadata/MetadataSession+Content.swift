internal import BerthBase
internal import BerthServices
internal import BerthStore

extension MetadataSession {
    // MARK: Blobs

    func blob(_ digest: Digest, in namespace: NamespaceID) throws -> BlobRecord {
        try table.get(.blob, digest.description, namespace)
    }

    func blobs(in namespace: NamespaceID, filters: [String]) throws -> [BlobRecord] {
        try select(.blob, namespace, filters) { (record: BlobRecord, path) in
            switch path {
            case ["digest"]: record.digest.description
            case ["size"]: "\(record.size)"
            default: Filter.label(path, in: record.labels)
            }
        }
    }

    func putBlob(_ blob: BlobRecord, in namespace: NamespaceID) throws {
        try RecordTable.check(labels: blob.labels)
        var record = blob
        record.updatedAt = .now()
        let before = try? self.blob(blob.digest, in: namespace)
        if let before { record.createdAt = before.createdAt }
        hints.changed(from: before?.labels, to: blob.labels)
        try table.put(.blob, blob.digest.description, namespace, record)
    }

    func deleteBlob(_ digest: Digest, in namespace: NamespaceID) throws {
        try table.delete(.blob, digest.description, namespace)
        hints.removed()
    }

    // MARK: Snapshots

    /// Snapshotters have their own keys: the row's key is `snapshotter/key`.
    private func rowKey(_ snapshotter: String, _ key: SnapshotKey) -> String { "\(snapshotter)/\(key)" }

    func snapshot(_ key: SnapshotKey, of snapshotter: String, in namespace: NamespaceID) throws -> SnapshotRecord {
        do { return try table.get(.snapshot, rowKey(snapshotter, key), namespace) } catch let error as BerthError
            where error.code == .notFound
        {
            throw BerthError(.notFound, "snapshot '\(key)' of '\(snapshotter)' not found in namespace '\(namespace)'")
        }
    }

    func snapshots(of snapshotter: String, in namespace: NamespaceID, filters: [String]) throws -> [SnapshotRecord] {
        let all = try select(.snapshot, namespace, filters) { (record: SnapshotRecord, path) in
            switch path {
            case ["name"], ["key"]: record.key.rawValue
            case ["parent"]: record.parent?.rawValue
            default: Filter.label(path, in: record.labels)
            }
        }
        return all.filter { $0.snapshotter == snapshotter }
    }

    func createSnapshot(
        _ key: SnapshotKey, parent: SnapshotKey?, of snapshotter: String, labels: [String: String],
        in namespace: NamespaceID
    ) throws -> SnapshotRecord {
        guard !key.rawValue.isEmpty else { throw BerthError(.invalidArgument, "make a snapshot: its key is empty") }
        try RecordTable.check(labels: labels)
        if try table.exists(.snapshot, rowKey(snapshotter, key), namespace) {
            throw BerthError(.alreadyExists, "snapshot '\(key)' of '\(snapshotter)' exists in namespace '\(namespace)'")
        }
        if let parent { _ = try snapshot(parent, of: snapshotter, in: namespace) }
        let connection = table.connection
        try connection.run("INSERT INTO sequence VALUES ('snapshot', 1) ON CONFLICT DO UPDATE SET next = next + 1")
        let sequence = try connection.first("SELECT next FROM sequence WHERE name = 'snapshot'")?[0].number ?? 1
        let record = SnapshotRecord(
            snapshotter: snapshotter, key: key, backendKey: SnapshotKey("\(namespace)/\(sequence)/\(key)"),
            parent: parent, labels: labels)
        try table.create(
            .snapshot, rowKey(snapshotter, key), namespace, record, parent: parent.map { rowKey(snapshotter, $0) })
        return record
    }

    func updateSnapshot(_ key: SnapshotKey, with record: SnapshotRecord, in namespace: NamespaceID) throws {
        try RecordTable.check(labels: record.labels)
        var record = record
        record.updatedAt = .now()
        hints.changed(from: try snapshot(key, of: record.snapshotter, in: namespace).labels, to: record.labels)
        if record.key == key {
            try table.update(.snapshot, rowKey(record.snapshotter, key), namespace, record)
            return
        }
        let parent = record.parent.map { rowKey(record.snapshotter, $0) }
        try table.create(.snapshot, rowKey(record.snapshotter, record.key), namespace, record, parent: parent)
        try table.delete(.snapshot, rowKey(record.snapshotter, key), namespace)
    }

    func deleteSnapshot(_ key: SnapshotKey, of snapshotter: String, in namespace: NamespaceID) throws {
        let row = rowKey(snapshotter, key)
        let children =
            try table.connection.first(
                "SELECT count(*) FROM record WHERE kind = 'snapshot' AND namespace = ? AND parent = ?",
                [.text(namespace.rawValue), .text(row)])?[0].number ?? 0
        guard children == 0 else {
            throw BerthError(.failedPrecondition, "remove snapshot '\(key)': \(children) others stand on it")
        }
        try table.delete(.snapshot, row, namespace)
        hints.removed()
    }

    // MARK: Leases

    func lease(_ id: LeaseID, in namespace: NamespaceID) throws -> LeaseRecord {
        try table.get(.lease, id.rawValue, namespace)
    }

    func leases(in namespace: NamespaceID, filters: [String]) throws -> [LeaseRecord] {
        try select(.lease, namespace, filters) { (record: LeaseRecord, path) in
            path == ["id"] ? record.id.rawValue : Filter.label(path, in: record.labels)
        }
    }

    func resources(of lease: LeaseID, in namespace: NamespaceID) throws -> [LeaseResource] {
        var all: [LeaseResource] = []
        try table.connection.query(
            "SELECT resource FROM lease_resource WHERE namespace = ? AND lease = ? ORDER BY resource",
            [.text(namespace.rawValue), .text(lease.rawValue)]
        ) { if let resource = LeaseResource(row: $0[0].text) { all.append(resource) } }
        return all
    }

    func createLease(_ lease: LeaseRecord, in namespace: NamespaceID) throws {
        guard !lease.id.rawValue.isEmpty else { throw BerthError(.invalidArgument, "create a lease: it has no ID") }
        try RecordTable.check(labels: lease.labels)
        try table.create(.lease, lease.id.rawValue, namespace, lease)
        hints.changed(from: nil, to: lease.labels)
    }

    func deleteLease(_ id: LeaseID, in namespace: NamespaceID) throws {
        try table.delete(.lease, id.rawValue, namespace)
        hints.removed()
        try table.connection.run(
            "DELETE FROM lease_resource WHERE namespace = ? AND lease = ?",
            [.text(namespace.rawValue), .text(id.rawValue)])
    }

    func addResource(_ resource: LeaseResource, to lease: LeaseID, in namespace: NamespaceID) throws {
        _ = try self.lease(lease, in: namespace)
        try table.connection.run(
            "INSERT OR IGNORE INTO lease_resource VALUES (?, ?, ?)",
            [.text(namespace.rawValue), .text(lease.rawValue), .text(resource.row)])
    }

    func removeResource(_ resource: LeaseResource, from lease: LeaseID, in namespace: NamespaceID) throws {
        hints.removed()
        try table.connection.run(
            "DELETE FROM lease_resource WHERE namespace = ? AND lease = ? AND resource = ?",
            [.text(namespace.rawValue), .text(lease.rawValue), .text(resource.row)])
    }
}

extension LeaseResource {
    /// `content sha256:…`, `snapshot overlay KEY`, `ingest REF`, `image NAME`.
    var row: String {
        switch self {
        case .content(let digest): "content \(digest)"
        case .snapshot(let snapshotter, let key): "snapshot \(snapshotter) \(key)"
        case .ingest(let ref): "ingest \(ref)"
        case .image(let name): "image \(name)"
        }
    }

    init?(row: String) {
        let parts = row.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { return nil }
        switch parts[0] {
        case "content":
            guard let digest = try? Digest(parts[1]) else { return nil }
            self = .content(digest)
        case "snapshot":
            let names = parts[1].split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard names.count == 2 else { return nil }
            self = .snapshot(snapshotter: names[0], key: SnapshotKey(names[1]))
        case "ingest": self = .ingest(ref: parts[1])
        case "image": self = .image(name: parts[1])
        default: return nil
        }
    }
}
