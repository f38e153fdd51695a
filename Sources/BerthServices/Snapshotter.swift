public import BerthBase
public import BerthKernel

/// What a snapshot is good for. The numbers are containerd's on the wire.
public enum SnapshotKind: Int, Sendable, Codable {
    /// Read-only, cannot be committed.
    case view = 1
    /// Writable; becomes a committed one.
    case active = 2
    /// Immutable; the parent of others.
    case committed = 3
}

/// What a snapshotter knows of one snapshot.
public struct SnapshotInfo: Sendable, Hashable, Codable {
    /// The key of an active snapshot or view, the name of a committed one.
    public var key: SnapshotKey
    /// The committed snapshot it stands on, if any.
    public var parent: SnapshotKey?
    /// What it is good for.
    public var kind: SnapshotKind
    /// Labels; those beginning with `containerd.io/snapshot/` may steer the snapshotter.
    public var labels: [String: String]
    /// When it was prepared or committed.
    public var createdAt: Timestamp
    /// When its labels last changed.
    public var updatedAt: Timestamp

    /// Makes an info.
    public init(
        key: SnapshotKey, parent: SnapshotKey?, kind: SnapshotKind, labels: [String: String],
        createdAt: Timestamp, updatedAt: Timestamp
    ) {
        self.key = key
        self.parent = parent
        self.kind = kind
        self.labels = labels
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }
}

/// How far a committed snapshot is safe from a power cut.
public enum SnapshotDurability: Sendable, Hashable {
    /// Written, but perhaps not on disk; trustworthy only in the boot with this ID.
    case unpacked(bootID: String)
    /// Flushed; survives a power cut.
    case durable
}

/// Stores layers as snapshots: chains of committed ones with active ones or views on top.
///
/// A key names an active snapshot or a view, a *name* a committed one; both share one name space. Three scenarios:
/// - **A layer**: `prepare(key, parent: chain)`, mount, unpack into it, `commit(chainID, from: key)`.
/// - **A container**: `prepare(containerKey, parent: topLayer)`, mount as rootfs, run, `remove(containerKey)`.
/// - **A look**: `view(key, parent: name)`, mount read-only, `remove(key)`.
///
/// Every method is safe against a crash at any point: what was not finished is invisible after the next start,
/// and `cleanup` frees its space. Keys are the backend keys that the metadata store makes.
public protocol Snapshotter: Sendable {
    /// - Throws: `notFound`.
    func stat(_ key: SnapshotKey) async throws -> SnapshotInfo
    /// Replaces labels (all of them, or those named by `labels.KEY` field paths) and returns the new info.
    /// - Throws: `notFound`; `invalidArgument` for a field that cannot be changed.
    func update(_ key: SnapshotKey, labels: [String: String], fields: [String]) async throws -> SnapshotInfo
    /// The space of this snapshot alone.
    /// - Throws: `notFound`.
    func usage(of key: SnapshotKey) async throws -> SnapshotUsage
    /// The mounts of an active snapshot or a view, to be performed in order on one directory.
    /// - Throws: `notFound`; `failedPrecondition` for a committed snapshot.
    func mounts(of key: SnapshotKey) async throws -> [Mount]
    /// Makes a writable snapshot on `parent`, or an empty one.
    /// - Throws: `alreadyExists` (a remote snapshotter that already has the layer answers the same);
    ///   `notFound` for a missing parent; `invalidArgument` for a parent that is not committed.
    func prepare(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws -> [Mount]
    /// Makes a read-only snapshot on `parent`. Throws as `prepare`.
    func view(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws -> [Mount]
    /// Turns the active snapshot `key` into the committed `name`; `key` is gone afterwards. A `parent` other than
    /// the one it was prepared on rebases it, if the snapshotter can.
    /// - Throws: `notFound`; `alreadyExists`; `failedPrecondition` for a view or a committed one.
    func commit(_ name: SnapshotKey, from key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws
    /// Removes a snapshot that no other stands on.
    /// - Throws: `notFound`; `failedPrecondition` while children exist.
    func remove(_ key: SnapshotKey) async throws
    /// All snapshots, ordered by key.
    func list() async throws -> [SnapshotInfo]
    /// Frees the space of removed and unfinished snapshots.
    func cleanup() async throws
    /// Flushes a committed snapshot to disk (one coalesced flush for many) and marks it durable.
    func makeDurable(_ name: SnapshotKey) async throws
    /// How far a committed snapshot is safe from a power cut.
    func durability(of name: SnapshotKey) async throws -> SnapshotDurability
    /// Whether `commit` may be given another parent, so that layers can be unpacked in parallel.
    var canRebase: Bool { get }
}

extension ServiceKey where Interface == any Snapshotter {
    /// Snapshot drivers; several may run, each under its plugin's name.
    public static var snapshotter: Self { Self("snapshotter") }
}
