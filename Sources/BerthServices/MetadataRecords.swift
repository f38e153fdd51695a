public import BerthBase

/// A message of any type, kept byte for byte.
public struct AnyMessage: Sendable, Hashable, Codable {
    /// Names the type.
    public var typeURL: String
    /// The encoded message.
    public var value: [UInt8]
    /// Makes a message.
    public init(typeURL: String, value: [UInt8]) {
        self.typeURL = typeURL
        self.value = value
    }

    private enum CodingKeys: String, CodingKey { case typeURL, value }

    /// Reads the bytes as base64.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        typeURL = try container.decode(String.self, forKey: .typeURL)
        guard let bytes = Base64.decode(try container.decode(String.self, forKey: .value)) else {
            throw DecodingError.dataCorruptedError(forKey: .value, in: container, debugDescription: "not base64")
        }
        value = bytes
    }

    /// Writes the bytes as base64.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(typeURL, forKey: .typeURL)
        try container.encode(Base64.encode(value), forKey: .value)
    }
}

/// A name that points at content.
public struct ImageRecord: Sendable, Hashable, Codable {
    /// The reference, e.g. `docker.io/library/busybox:1.36`.
    public var name: String
    /// The manifest or index.
    public var target: Descriptor
    /// Labels.
    public var labels: [String: String]
    /// When it was made. Set by the store.
    public var createdAt: Timestamp
    /// When it last changed. Set by the store.
    public var updatedAt: Timestamp
    /// Makes a record.
    public init(name: String, target: Descriptor, labels: [String: String] = [:], createdAt: Timestamp = .now()) {
        self.name = name
        self.target = target
        self.labels = labels
        self.createdAt = createdAt
        updatedAt = createdAt
    }
}

/// A container: what to run, not a process.
public struct ContainerRecord: Sendable, Hashable, Codable {
    /// Its ID, unique in the namespace.
    public var id: ContainerID
    /// Labels.
    public var labels: [String: String] = [:]
    /// The image's name, if any.
    public var image: String = ""
    /// The runtime, e.g. `io.containerd.berth.v1`.
    public var runtime: String
    /// The runtime's options.
    public var runtimeOptions: AnyMessage?
    /// The OCI spec.
    public var spec: AnyMessage?
    /// The snapshotter of the rootfs.
    public var snapshotter: String = ""
    /// The key of the rootfs' snapshot.
    public var snapshotKey: SnapshotKey = ""
    /// The sandbox it belongs to, if any.
    public var sandboxID: PodID?
    /// What clients keep with it.
    public var extensions: [String: AnyMessage] = [:]
    /// When it was made. Set by the store.
    public var createdAt: Timestamp = .now()
    /// When it last changed. Set by the store.
    public var updatedAt: Timestamp = .now()
    /// Makes a record.
    public init(id: ContainerID, runtime: String) {
        self.id = id
        self.runtime = runtime
    }
}

/// A pod sandbox as the sandbox store keeps it.
public struct SandboxRecord: Sendable, Hashable, Codable {
    /// Its ID, unique in the namespace.
    public var id: PodID
    /// The runtime.
    public var runtime: String
    /// The runtime's options.
    public var runtimeOptions: AnyMessage?
    /// The OCI spec.
    public var spec: AnyMessage?
    /// The controller that runs it: `pod`, `task`, or a proxy's name.
    public var sandboxer: String = "pod"
    /// Labels.
    public var labels: [String: String] = [:]
    /// What clients keep with it.
    public var extensions: [String: AnyMessage] = [:]
    /// When it was made. Set by the store.
    public var createdAt: Timestamp = .now()
    /// When it last changed. Set by the store.
    public var updatedAt: Timestamp = .now()
    /// Makes a record.
    public init(id: PodID, runtime: String) {
        self.id = id
        self.runtime = runtime
    }
}

/// A lease: keeps resources from the collector until it is deleted or expires (`containerd.io/gc.expire`).
public struct LeaseRecord: Sendable, Hashable, Codable {
    /// Its ID.
    public var id: LeaseID
    /// Labels; `containerd.io/gc.expire` holds an RFC 3339 time, `containerd.io/gc.flat` limits it to what it names.
    public var labels: [String: String]
    /// When it was made.
    public var createdAt: Timestamp
    /// Makes a record.
    public init(id: LeaseID, labels: [String: String] = [:], createdAt: Timestamp = .now()) {
        self.id = id
        self.labels = labels
        self.createdAt = createdAt
    }
}

/// What a lease can hold.
public enum LeaseResource: Sendable, Hashable, Codable {
    /// A blob.
    case content(Digest)
    /// A snapshot of a snapshotter.
    case snapshot(snapshotter: String, key: SnapshotKey)
    /// An ingest.
    case ingest(ref: String)
    /// An image name.
    case image(name: String)
}

/// A blob as one namespace sees it.
public struct BlobRecord: Sendable, Hashable, Codable {
    /// Its digest.
    public var digest: Digest
    /// Its bytes.
    public var size: Int64
    /// Labels; `containerd.io/gc.ref.content…` and `containerd.io/gc.ref.snapshot.…` are references.
    public var labels: [String: String]
    /// When the namespace got it.
    public var createdAt: Timestamp
    /// When its labels last changed.
    public var updatedAt: Timestamp
    /// Makes a record.
    public init(digest: Digest, size: Int64, labels: [String: String] = [:], createdAt: Timestamp = .now()) {
        self.digest = digest
        self.size = size
        self.labels = labels
        self.createdAt = createdAt
        updatedAt = createdAt
    }
}

/// A snapshot as one namespace sees it, and the backend key its driver knows it by.
public struct SnapshotRecord: Sendable, Hashable, Codable {
    /// The snapshotter's name.
    public var snapshotter: String
    /// The key or name the namespace uses.
    public var key: SnapshotKey
    /// `namespace/sequence/key`, the driver's key.
    public var backendKey: SnapshotKey
    /// The parent's name in the namespace.
    public var parent: SnapshotKey?
    /// Labels; reference labels are kept here and not given to the driver.
    public var labels: [String: String]
    /// When it was made.
    public var createdAt: Timestamp
    /// When its labels last changed.
    public var updatedAt: Timestamp
    /// Makes a record.
    public init(
        snapshotter: String, key: SnapshotKey, backendKey: SnapshotKey, parent: SnapshotKey?,
        labels: [String: String] = [:], createdAt: Timestamp = .now()
    ) {
        self.snapshotter = snapshotter
        self.key = key
        self.backendKey = backendKey
        self.parent = parent
        self.labels = labels
        self.createdAt = createdAt
        updatedAt = createdAt
    }
}
