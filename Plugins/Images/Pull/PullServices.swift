internal import BerthArchive
internal import BerthBase
internal import BerthServices
internal import Logging

/// What every pull works with.
struct PullServices: Sendable {
    let config: RegistryConfig
    let metadata: any MetadataStore
    let content: any ContentStore
    let snapshots: any SnapshotService
    let clients: RegistryClients
    /// How the unpack helper is run.
    let helper: UnpackSession.Command
    /// One unpack a chain in the whole daemon: the others wait and then find the snapshot.
    let chains = KeyedLanes<String>()
    let durability: DurabilityQueue
    let cleanup: CleanupQueue
    let logger: Logger
}

/// The labels that hold content and snapshots, exactly as containerd writes them.
enum GCLabel {
    static let config = "containerd.io/gc.ref.content.config"
    static func layer(_ index: Int) -> String { "containerd.io/gc.ref.content.l.\(index)" }
    static func manifest(_ index: Int) -> String { "containerd.io/gc.ref.content.m.\(index)" }
    static func snapshot(_ snapshotter: String) -> String { "containerd.io/gc.ref.snapshot.\(snapshotter)" }
    static let expire = "containerd.io/gc.expire"
    static let uncompressed = "containerd.io/uncompressed"
    static func source(_ host: String) -> String { "containerd.io/distribution.source.\(host)" }
    /// Marks the leases and the unfinished snapshots of pulls, which the next start removes.
    static let pull = "berth.io/pull"
}

/// Holds what a pull makes until the image's row refers to it.
struct PullLease: Sendable {
    /// How long a lease lasts whose daemon does not come back.
    static let lifetimeSeconds: Int64 = 24 * 3600

    let id: LeaseID
    let namespace: NamespaceID
    private let metadata: any MetadataStore
    private let cleanup: CleanupQueue

    init(_ what: String, in namespace: NamespaceID, _ services: PullServices) async throws {
        let number = UInt64.random(in: .min ... .max)
        id = LeaseID("pull-" + String(number, radix: 36))
        (self.namespace, metadata, cleanup) = (namespace, services.metadata, services.cleanup)
        let end = Timestamp(nanoseconds: Timestamp.now().nanoseconds + Self.lifetimeSeconds * 1_000_000_000)
        let record = LeaseRecord(
            id: id, labels: [GCLabel.expire: end.rfc3339, GCLabel.pull: String(what.prefix(1000))])
        try await metadata.write { try $0.createLease(record, in: namespace) }
    }

    func hold(_ resource: LeaseResource) async throws {
        let (id, namespace) = (id, namespace)
        try await metadata.write { try $0.addResource(resource, to: id, in: namespace) }
    }

    /// Lets go; the image's row refers to what it holds, or the collector may have it.
    func release() async {
        let (id, namespace, metadata) = (id, namespace, metadata)
        await cleanup.insist("delete lease '\(id)'") {
            try await metadata.write { try $0.deleteLease(id, in: namespace) }
        }
    }
}
