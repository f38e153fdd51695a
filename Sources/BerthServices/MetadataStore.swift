public import BerthBase
public import BerthKernel

/// How safe a transaction must be when its commit returns.
public enum CommitDurability: Sendable {
    /// Survives a crash of the daemon; a power cut may forget it.
    case process
    /// Survives a power cut: blob, image, durable-layer and CNI-attempt rows.
    case powerCut
}

/// Reads of the metadata, all from one snapshot of the database.
///
/// `filters` are containerd's filter expressions (`name==x`, `labels."a"~=b`); any of them may match, none means all.
public protocol MetadataReader {
    /// All namespaces with their labels, by name.
    func namespaces() throws -> [(name: NamespaceID, labels: [String: String])]
    /// - Throws: `notFound`.
    func image(_ name: String, in namespace: NamespaceID) throws -> ImageRecord
    /// Images, by name.
    func images(in namespace: NamespaceID, filters: [String]) throws -> [ImageRecord]
    /// - Throws: `notFound`.
    func container(_ id: ContainerID, in namespace: NamespaceID) throws -> ContainerRecord
    /// Containers, by ID.
    func containers(in namespace: NamespaceID, filters: [String]) throws -> [ContainerRecord]
    /// - Throws: `notFound`.
    func sandbox(_ id: PodID, in namespace: NamespaceID) throws -> SandboxRecord
    /// Sandboxes, by ID.
    func sandboxes(in namespace: NamespaceID, filters: [String]) throws -> [SandboxRecord]
    /// - Throws: `notFound`.
    func blob(_ digest: Digest, in namespace: NamespaceID) throws -> BlobRecord
    /// Blobs, by digest.
    func blobs(in namespace: NamespaceID, filters: [String]) throws -> [BlobRecord]
    /// - Throws: `notFound`.
    func snapshot(_ key: SnapshotKey, of snapshotter: String, in namespace: NamespaceID) throws -> SnapshotRecord
    /// Snapshots, by key.
    func snapshots(of snapshotter: String, in namespace: NamespaceID, filters: [String]) throws -> [SnapshotRecord]
    /// - Throws: `notFound`.
    func lease(_ id: LeaseID, in namespace: NamespaceID) throws -> LeaseRecord
    /// Leases, by ID.
    func leases(in namespace: NamespaceID, filters: [String]) throws -> [LeaseRecord]
    /// What a lease holds.
    func resources(of lease: LeaseID, in namespace: NamespaceID) throws -> [LeaseResource]
    /// A value of a plugin's own key-value table (CNI attempts, operations), or nil.
    func value(_ key: String, table: String) throws -> [UInt8]?
    /// All values of a plugin's own table whose key begins with `prefix`, by key.
    func values(table: String, prefix: String) throws -> [(key: String, value: [UInt8])]
}

/// Reads and writes inside one transaction. A throw rolls everything back.
///
/// `put` makes or replaces (and makes the namespace if need be); `create` refuses an existing one.
public protocol MetadataWriter: MetadataReader {
    /// Makes a namespace or replaces its labels.
    func putNamespace(_ name: NamespaceID, labels: [String: String]) throws
    /// - Throws: `failedPrecondition` while it holds anything; `notFound`.
    func deleteNamespace(_ name: NamespaceID) throws
    /// Makes or replaces an image.
    func putImage(_ image: ImageRecord, in namespace: NamespaceID) throws
    /// - Throws: `notFound`.
    func deleteImage(_ name: String, in namespace: NamespaceID) throws
    /// - Throws: `alreadyExists`.
    func createContainer(_ container: ContainerRecord, in namespace: NamespaceID) throws
    /// Replaces a container's record.
    /// - Throws: `notFound`.
    func updateContainer(_ container: ContainerRecord, in namespace: NamespaceID) throws
    /// - Throws: `notFound`.
    func deleteContainer(_ id: ContainerID, in namespace: NamespaceID) throws
    /// - Throws: `alreadyExists`.
    func createSandbox(_ sandbox: SandboxRecord, in namespace: NamespaceID) throws
    /// - Throws: `notFound`.
    func updateSandbox(_ sandbox: SandboxRecord, in namespace: NamespaceID) throws
    /// - Throws: `notFound`.
    func deleteSandbox(_ id: PodID, in namespace: NamespaceID) throws
    /// Makes a blob visible in the namespace, or replaces its labels.
    func putBlob(_ blob: BlobRecord, in namespace: NamespaceID) throws
    /// Hides a blob from the namespace; its bytes go with the collector.
    /// - Throws: `notFound`.
    func deleteBlob(_ digest: Digest, in namespace: NamespaceID) throws
    /// Makes the row of a snapshot and its backend key, before the driver makes the snapshot.
    /// - Throws: `alreadyExists`; `notFound` for the parent.
    func createSnapshot(
        _ key: SnapshotKey, parent: SnapshotKey?, of snapshotter: String, labels: [String: String],
        in namespace: NamespaceID
    ) throws -> SnapshotRecord
    /// Replaces labels, or renames on commit (`key` → `record.key`).
    /// - Throws: `notFound`; `alreadyExists`.
    func updateSnapshot(_ key: SnapshotKey, with record: SnapshotRecord, in namespace: NamespaceID) throws
    /// - Throws: `notFound`; `failedPrecondition` while children exist.
    func deleteSnapshot(_ key: SnapshotKey, of snapshotter: String, in namespace: NamespaceID) throws
    /// - Throws: `alreadyExists`.
    func createLease(_ lease: LeaseRecord, in namespace: NamespaceID) throws
    /// - Throws: `notFound`.
    func deleteLease(_ id: LeaseID, in namespace: NamespaceID) throws
    /// Adds to a lease; a second time is no error.
    func addResource(_ resource: LeaseResource, to lease: LeaseID, in namespace: NamespaceID) throws
    /// Removes from a lease; a missing one is no error.
    func removeResource(_ resource: LeaseResource, from lease: LeaseID, in namespace: NamespaceID) throws
    /// Sets or (nil) removes a value of a plugin's own key-value table.
    func setValue(_ value: [UInt8]?, for key: String, table: String) throws
}

/// Names, labels and references of everything, in one database. Bytes belong to drivers, running things to shims.
public protocol MetadataStore: Sendable {
    /// Runs reads on one consistent snapshot. The body must not block on anything else.
    func read<T: Sendable>(_ body: @escaping @Sendable (any MetadataReader) throws -> T) async throws -> T
    /// Runs one transaction. Transactions of concurrent callers are committed in groups, each alone if one throws.
    /// - Throws: what the body throws; `resourceExhausted` when the disk is full.
    func write<T: Sendable>(
        durability: CommitDurability, _ body: @escaping @Sendable (any MetadataWriter) throws -> T
    ) async throws -> T
    /// Hints for the collector, after each transaction that gives one; several of them may come as one.
    func hints() async -> AsyncStream<GarbageHint>
}

/// What a transaction did that the collector wants to know of.
public enum GarbageHint: Sendable, Hashable {
    /// Something, or a reference to something, was removed: there may be garbage.
    case removed
    /// Something that expires was written: the collector's timer may have to be set anew.
    case expires
}

extension MetadataStore {
    /// A store without hints: what there is to collect is found on schedule.
    public func hints() async -> AsyncStream<GarbageHint> { AsyncStream { $0.finish() } }

    /// A transaction that survives a crash of the daemon.
    public func write<T: Sendable>(_ body: @escaping @Sendable (any MetadataWriter) throws -> T) async throws -> T {
        try await write(durability: .process, body)
    }
}

extension ServiceKey where Interface == any MetadataStore {
    /// The metadata store.
    public static var metadata: Self { Self("metadata") }
}
