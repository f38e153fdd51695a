public import BerthBase
public import BerthKernel

/// Snapshots as one namespace sees them: rows of the metadata store and drivers behind them, kept in step.
///
/// The row is committed before the driver acts (intent before action); a row without a snapshot, or a snapshot
/// without a row, is mended when the plugin starts and by the collector.
public protocol SnapshotService: Sendable {
    /// The names of the drivers that run.
    var snapshotters: [String] { get }
    /// The driver behind a name.
    /// - Throws: `notFound` that lists the names there are.
    func driver(_ snapshotter: String) throws -> any Snapshotter
    /// As `Snapshotter.prepare` and `.view`; with a lease, the new snapshot is its resource in the same transaction.
    func prepare(
        _ key: SnapshotKey, parent: SnapshotKey?, readOnly: Bool, on target: SnapshotTarget
    ) async throws -> [Mount]
    /// The mounts of an active snapshot or a view.
    func mounts(of key: SnapshotKey, on target: SnapshotTarget) async throws -> [Mount]
    /// As `Snapshotter.commit`.
    func commit(_ name: SnapshotKey, from key: SnapshotKey, on target: SnapshotTarget) async throws
    /// As `Snapshotter.remove`.
    func remove(_ key: SnapshotKey, on target: SnapshotTarget) async throws
    /// The row and the driver's facts of one snapshot.
    func stat(_ key: SnapshotKey, on target: SnapshotTarget) async throws -> SnapshotInfo
    /// The space of one snapshot.
    func usage(of key: SnapshotKey, on target: SnapshotTarget) async throws -> SnapshotUsage
    /// Flushes committed snapshots and marks them durable.
    func makeDurable(_ name: SnapshotKey, on target: SnapshotTarget) async throws
}

/// Where a snapshot operation happens: snapshotter, namespace, labels for a new one and the lease that holds it.
public struct SnapshotTarget: Sendable {
    /// The snapshotter's name.
    public var snapshotter: String
    /// The namespace.
    public var namespace: NamespaceID
    /// Labels of a new or committed snapshot.
    public var labels: [String: String]
    /// The lease that holds a new snapshot, if any.
    public var lease: LeaseID?
    /// Makes a target.
    public init(_ snapshotter: String, in namespace: NamespaceID, labels: [String: String] = [:], lease: LeaseID? = nil)
    {
        self.snapshotter = snapshotter
        self.namespace = namespace
        self.labels = labels
        self.lease = lease
    }
}

extension ServiceKey where Interface == any SnapshotService {
    /// Namespaced snapshots.
    public static var snapshots: Self { Self("snapshots") }
}
