/// What a piece of content is and how it is addressed. Source: OCI image spec, "Content Descriptors".
public struct Descriptor: Hashable, Sendable, Codable {
    /// The media type; it decides how the content is read.
    public var mediaType: String
    /// The digest of the bytes.
    public var digest: Digest
    /// The number of bytes.
    public var size: Int64
    /// Addresses of foreign content, if any. Credentials never go there.
    public var urls: [String]?
    /// Free key-value pairs.
    public var annotations: [String: String]?
    /// The platform of the content, in an index.
    public var platform: Platform?
    /// The type of an artifact, if the content is one.
    public var artifactType: String?

    /// Makes a descriptor.
    public init(
        mediaType: String, digest: Digest, size: Int64, annotations: [String: String]? = nil,
        platform: Platform? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.annotations = annotations
        self.platform = platform
    }
}

/// An operating system and CPU that content is for. Source: OCI image spec, "Image Index".
public struct Platform: Hashable, Sendable, Codable, CustomStringConvertible {
    /// The CPU in Go's names: `amd64`, `arm64`.
    public var architecture: String
    /// The operating system: `linux`.
    public var os: String
    /// The CPU's variant, e.g. `v8`.
    public var variant: String?
    /// The version of the operating system.
    public var osVersion: String?
    /// Features of the operating system that the content needs.
    public var osFeatures: [String]?

    /// Makes a platform.
    public init(architecture: String, os: String, variant: String? = nil) {
        self.architecture = architecture
        self.os = os
        self.variant = variant
    }

    /// `linux/arm64/v8`.
    public var description: String { [os, architecture, variant].compactMap { $0 }.joined(separator: "/") }

    private enum CodingKeys: String, CodingKey {
        case architecture, os, variant
        case osVersion = "os.version"
        case osFeatures = "os.features"
    }
}

/// A mount as snapshotters hand it out and shims perform it. Source: containerd's `types.Mount`.
public struct Mount: Hashable, Sendable, Codable {
    /// The file system type: `overlay`, `bind`, or a custom one that a mount plugin knows.
    public var type: String
    /// The source: a path, or a name the file system ignores.
    public var source: String
    /// The target below the root of the mounts, usually empty.
    public var target: String
    /// Options in fstab's manner: `ro`, `rbind`, `lowerdir=…`.
    public var options: [String]

    /// Makes a mount.
    public init(type: String, source: String, target: String = "", options: [String] = []) {
        self.type = type
        self.source = source
        self.target = target
        self.options = options
    }
}
