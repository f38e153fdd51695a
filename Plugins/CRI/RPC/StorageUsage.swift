internal import BerthAPI
internal import BerthBase
internal import BerthServices
internal import SystemPackage

/// The space of images and of containers, as `ImageFsInfo` tells it.
struct StorageUsage: Sendable {
    let metadata: any MetadataStore
    let snapshots: any SnapshotService
    let snapshotter: String
    /// The directory of the snapshotter.
    let mountpoint: FilePath
    /// Sizes of committed snapshots, which never change.
    private let committed = Shared<[SnapshotKey: SnapshotUsage]>([:])
    /// Sizes kept; when there are more all are measured again.
    static let maxKept = 16384

    init(metadata: any MetadataStore, snapshots: any SnapshotService, snapshotter: String, mountpoint: FilePath) {
        self.metadata = metadata
        self.snapshots = snapshots
        self.snapshotter = snapshotter
        self.mountpoint = mountpoint
    }

    func response() async throws -> Runtime_V1_ImageFsInfoResponse {
        let name = snapshotter
        let (records, blobs) = try await metadata.read { reader in
            var records: [(NamespaceID, SnapshotKey)] = []
            var blobs: [Digest: Int64] = [:]
            for (namespace, _) in try reader.namespaces() {
                records += try reader.snapshots(of: name, in: namespace, filters: []).map { (namespace, $0.key) }
                for blob in try reader.blobs(in: namespace, filters: []) { blobs[blob.digest] = blob.size }
            }
            return (records, blobs)
        }
        var layers = SnapshotUsage(inodes: Int64(blobs.count), size: blobs.values.reduce(0, +))
        var writable = SnapshotUsage(inodes: 0, size: 0)
        for (namespace, key) in records {
            guard let (usage, isLayer) = await measure(key, in: namespace) else { continue }
            if isLayer { layers.add(usage) } else { writable.add(usage) }
        }
        var response = Runtime_V1_ImageFsInfoResponse()
        response.imageFilesystems = [message(layers)]
        response.containerFilesystems = [message(writable)]
        return response
    }

    /// Nil for one that went meanwhile.
    private func measure(_ key: SnapshotKey, in namespace: NamespaceID) async -> (SnapshotUsage, isLayer: Bool)? {
        if let known = committed.withLock({ $0[key] }) { return (known, true) }
        let target = SnapshotTarget(snapshotter, in: namespace)
        guard let info = try? await snapshots.stat(key, on: target),
            let usage = try? await snapshots.usage(of: key, on: target)
        else { return nil }
        guard info.kind == .committed else { return (usage, false) }
        committed.withLock { kept in
            if kept.count >= Self.maxKept { kept.removeAll() }
            kept[key] = usage
        }
        return (usage, true)
    }

    /// The space of a container's own layer; nil when it cannot be measured now.
    func writableLayer(
        _ key: SnapshotKey, of name: String, in namespace: NamespaceID
    ) async -> Runtime_V1_FilesystemUsage? {
        let usage = try? await snapshots.usage(of: key, on: SnapshotTarget(name, in: namespace))
        return usage.map(message)
    }

    private func message(_ usage: SnapshotUsage) -> Runtime_V1_FilesystemUsage {
        var message = Runtime_V1_FilesystemUsage()
        message.timestamp = Timestamp.now().nanoseconds
        message.fsID.mountpoint = mountpoint.string
        message.usedBytes.value = UInt64(max(usage.size, 0))
        message.inodesUsed.value = UInt64(max(usage.inodes, 0))
        return message
    }
}

extension SnapshotUsage {
    fileprivate mutating func add(_ other: SnapshotUsage) {
        inodes += other.inodes
        size += other.size
    }
}
