public import BerthBase
public import BerthKernel

/// What the collector knows of: everything that can refer or be referred to.
public enum GarbageKind: String, Sendable, Hashable, CaseIterable {
    case content, snapshot, image, container, sandbox, lease, ingest
}

/// One thing that a collection removes.
public struct GarbageItem: Sendable, Hashable {
    /// The namespace that sees it; empty for bytes that no namespace sees any more, and for ingests.
    public var namespace: NamespaceID
    /// What it is.
    public var kind: GarbageKind
    /// Its digest, `SNAPSHOTTER/KEY`, name, ID or ref.
    public var key: String
    /// The bytes that go with it; 0 when others still hold them, or when they are not known.
    public var size: Int64
    /// Makes an item.
    public init(namespace: NamespaceID, kind: GarbageKind, key: String, size: Int64) {
        self.namespace = namespace
        self.kind = kind
        self.key = key
        self.size = size
    }
}

/// What a collection removes, or has removed.
public struct GarbageReport: Sendable, Hashable {
    /// What goes.
    public var removed: [GarbageItem]
    /// How many blobs, snapshots, images, leases and ingests stay.
    public var kept: Int
    /// The bytes of all that goes.
    public var bytes: Int64 { removed.reduce(0) { $0 + $1.size } }
    /// Makes a report.
    public init(removed: [GarbageItem], kept: Int) {
        self.removed = removed
        self.kept = kept
    }
}

/// One step of the chain that keeps something.
public struct GarbageReference: Sendable, Hashable {
    /// What it is.
    public var kind: GarbageKind
    /// Its digest, `SNAPSHOTTER/KEY`, name, ID or ref.
    public var key: String
    /// Why it is kept: `root: …` for the first, else how the one before refers to it.
    public var why: String
    /// Makes a reference.
    public init(kind: GarbageKind, key: String, why: String) {
        self.kind = kind
        self.key = key
        self.why = why
    }
}

/// Removes what nothing refers to: mark and sweep over the references that labels, records and leases make.
///
/// **Roots** are images, containers, sandboxes, leases that have not expired, and whatever has the label
/// `containerd.io/gc.root`. **References** are an image's target, a snapshot's parent, a container's snapshot, a
/// lease's resources, and labels: `containerd.io/gc.ref.content[.…]` (a digest),
/// `containerd.io/gc.ref.snapshot.SNAPSHOTTER[/…]`
/// (a key), `containerd.io/gc.ref.image[.…]` (a name). A label `containerd.io/gc.bref.KIND[.…]` refers backwards: its
/// bearer is kept as long as what it names. `containerd.io/gc.expire` (RFC 3339) ends the life of an image or lease,
/// and a lease labelled `containerd.io/gc.flat` keeps what it names and nothing further.
public protocol GarbageCollector: Sendable {
    /// What a collection would remove now; removes nothing.
    func plan() async throws -> GarbageReport
    /// Collects now; one that is asked for meanwhile waits and then runs its own.
    func collect() async throws -> GarbageReport
    /// The chain of references from a root to what `key` names (a digest, `SNAPSHOTTER/KEY` or a snapshot's key, an
    /// image's name, an ID), the item itself last; nil when nothing keeps it.
    /// - Throws: `notFound` for a key nothing has.
    func explain(_ key: String, in namespace: NamespaceID) async throws -> [GarbageReference]?
}

extension ServiceKey where Interface == any GarbageCollector {
    /// The garbage collector.
    public static var garbage: Self { Self("gc") }
}
