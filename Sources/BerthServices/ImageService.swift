public import BerthBase
public import BerthKernel

/// A credential for one registry.
public struct RegistryCredential: Sendable, CustomStringConvertible {
    /// How a client proves who it is.
    public enum Kind: Sendable {
        /// User name and password, used for basic authentication or to get a bearer token.
        case basic(username: String, password: String)
        /// A refresh token, exchanged for access tokens.
        case identityToken(String)
        /// A bearer token, sent as it is.
        case registryToken(String)
    }
    /// The secret.
    public let kind: Kind
    /// The only host it may be sent to, `host[:port]`; nil: the registry of the pulled reference.
    public let host: String?
    /// Makes a credential.
    public init(_ kind: Kind, host: String? = nil) {
        self.kind = kind
        self.host = host
    }
    /// Never the secret.
    public var description: String { "***" }
}

/// What to pull, for whom.
public struct PullRequest: Sendable {
    /// The reference as the user wrote it; normalised by the image service.
    public var reference: String
    /// The namespace that gets the image.
    public var namespace: NamespaceID
    /// The platform; nil: this host's.
    public var platform: Platform?
    /// The snapshotter to unpack into; nil: the configured default.
    public var snapshotter: String?
    /// The caller's credential; nil: docker's `config.json`, else none.
    public var credential: RegistryCredential?
    /// Labels of the image.
    public var labels: [String: String] = [:]
    /// Talk http without TLS to this registry, as asked for by an operator.
    public var plainHTTP = false
    /// Makes a request.
    public init(_ reference: String, in namespace: NamespaceID) {
        self.reference = reference
        self.namespace = namespace
    }
}

/// How far a pull is.
public struct PullProgress: Sendable, Hashable {
    /// One layer's state.
    public struct Layer: Sendable, Hashable {
        /// The layer's digest.
        public var digest: Digest
        /// Where it is.
        public var state: State
        /// Compressed bytes fetched.
        public var offset: Int64
        /// Compressed bytes in all.
        public var total: Int64
        /// What can be happening to a layer.
        public enum State: String, Sendable { case waiting, downloading, unpacking, done, exists }
        /// Makes a layer's state.
        public init(digest: Digest, state: State, offset: Int64, total: Int64) {
            self.digest = digest
            self.state = state
            self.offset = offset
            self.total = total
        }
    }
    /// `resolving`, `fetching`, `done`.
    public var stage: String
    /// The layers, in order; empty before the manifest is known.
    public var layers: [Layer]
    /// Makes a progress report.
    public init(stage: String, layers: [Layer] = []) {
        self.stage = stage
        self.layers = layers
    }
}

/// An image that is complete for one platform: manifest, config and layers are here.
public struct ImageInfo: Sendable, Hashable {
    /// The names (normalised references) that point at it in the namespace.
    public var names: [String]
    /// The target of the names: index or manifest.
    public var target: Descriptor
    /// The manifest for the platform.
    public var manifest: Descriptor
    /// The digest of the config: the image's ID in CRI.
    public var id: Digest
    /// The platform.
    public var platform: Platform
    /// Compressed bytes of manifest, config and layers.
    public var size: Int64
    /// The config's bytes (OCI image config, JSON): hostile input, parse with limits.
    public var config: [UInt8]
    /// Uncompressed layer digests, bottom first.
    public var diffIDs: [Digest]
    /// The name of the top layer's committed snapshot; nil for an image without layers.
    public var chainID: Digest?
    /// Labels of the names' records, merged.
    public var labels: [String: String]
    /// When the oldest name was made.
    public var createdAt: Timestamp
    /// Makes an info.
    public init(
        names: [String], target: Descriptor, manifest: Descriptor, id: Digest, platform: Platform, size: Int64,
        config: [UInt8], diffIDs: [Digest], chainID: Digest?, labels: [String: String], createdAt: Timestamp
    ) {
        self.names = names
        self.target = target
        self.manifest = manifest
        self.id = id
        self.platform = platform
        self.size = size
        self.config = config
        self.diffIDs = diffIDs
        self.chainID = chainID
        self.labels = labels
        self.createdAt = createdAt
    }
}

/// Images: pulled from registries, unpacked as snapshots, found by name or ID.
public protocol ImageService: Sendable {
    /// Pulls, verifies and unpacks; joined with a pull of the same content under way, after the caller's own
    /// credential resolved the manifest. Progress goes to `progress` until the image is usable.
    /// - Throws: `notFound`, `unauthenticated`, `permissionDenied`, `unavailable`, `resourceExhausted`, `dataLoss`,
    ///   each naming the reference and the registry, never a credential.
    func pull(_ request: PullRequest, progress: @escaping @Sendable (PullProgress) -> Void) async throws -> ImageInfo
    /// Finds an image by reference, by ID (`sha256:…` or a unique prefix of at least 5 digits) or by digest reference.
    /// - Throws: `notFound`; `invalidArgument` for an ambiguous prefix.
    func resolve(_ nameOrID: String, in namespace: NamespaceID) async throws -> ImageInfo
    /// All complete images of the namespace, by ID.
    func list(in namespace: NamespaceID) async throws -> [ImageInfo]
    /// Removes all names of the image that `nameOrID` finds; a missing one is success with an empty answer.
    func remove(_ nameOrID: String, in namespace: NamespaceID) async throws -> [String]
    /// Makes sure that the image's layers are committed snapshots of `snapshotter`, and returns the top one's name.
    func unpack(_ image: ImageInfo, snapshotter: String, in namespace: NamespaceID) async throws -> SnapshotKey?
    /// The normalised form of a reference: `busybox` is `docker.io/library/busybox:latest`.
    /// - Throws: `invalidArgument`.
    func normalize(_ reference: String) throws -> String
}

extension ServiceKey where Interface == any ImageService {
    /// The image service.
    public static var images: Self { Self("images") }
}
