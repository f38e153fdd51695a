package import BerthBase

/// What a manifest's bytes say: an image of one platform, or a list of such.
///
/// The bytes are hostile. The type is decided by the descriptor; a document that could be read as two things, or says
/// of itself that it is something else, is refused (CVE-2021-41190).
package enum ImageDocument: Sendable, Hashable {
    case index([Descriptor])
    case manifest(ImageManifest)

    /// The longest document that is read.
    package static let maxSize = 8 << 20
    /// The most manifests of an index, and the most layers of a manifest.
    package static let maxDescriptors = 4096

    /// - Throws: `failedPrecondition` for a document that is none of the types, or ambiguous.
    package init(_ bytes: [UInt8], mediaType: String) throws {
        guard !MediaType.isSchema1(mediaType) else {
            throw BerthError(
                .failedPrecondition,
                "docker's manifest schema 1 (\(mediaType)) is not supported; push the image again with a newer client")
        }
        guard MediaType.isIndex(mediaType) || MediaType.isManifest(mediaType) else {
            throw BerthError(.failedPrecondition, "'\(mediaType.prefix(160))' is no image manifest or index")
        }
        guard bytes.count <= Self.maxSize else {
            throw BerthError(.resourceExhausted, "a manifest has more than \(Self.maxSize) bytes")
        }
        let document: [String: JSONValue]
        do {
            guard let object = try JSONValue(parsing: bytes).object else { throw Self.wrong("it is no JSON object") }
            document = object
        } catch let error as BerthError where error.code == .invalidArgument {
            throw Self.wrong(error.message)
        }
        try Self.check(document, mediaType)
        if MediaType.isIndex(mediaType) {
            self = .index(try Self.descriptors(document["manifests"], "manifests"))
        } else {
            guard let config = document["config"] else { throw Self.wrong("'config' is missing") }
            self = .manifest(
                ImageManifest(
                    config: try Descriptor(json: config, in: "config"),
                    layers: try Self.descriptors(document["layers"], "layers")))
        }
    }

    private static func wrong(_ why: String) -> BerthError {
        BerthError(.failedPrecondition, "the manifest cannot be used: \(why)")
    }

    private static func check(_ document: [String: JSONValue], _ mediaType: String) throws {
        guard document["schemaVersion"]?.integer == 2 else { throw wrong("'schemaVersion' is not 2") }
        if let own = document["mediaType"], own != .null {
            guard own.string == mediaType else {
                throw wrong(
                    "it is ambiguous: served as '\(mediaType)', it calls itself '\(own.string?.prefix(160) ?? "?")'")
            }
        }
        let others = MediaType.isIndex(mediaType) ? ["config", "layers", "fsLayers"] : ["manifests", "fsLayers"]
        for key in others where document[key] != nil && document[key] != .null {
            throw wrong("it is ambiguous: a '\(mediaType)' has no '\(key)'")
        }
        // Go's parser takes keys of any case: what differs in case only would be read there and not here.
        for key in document.keys
        where ["manifests", "layers", "config", "mediatype", "fslayers"].contains(key.lowercased()) {
            guard ["manifests", "layers", "config", "mediaType", "fsLayers"].contains(key) else {
                throw wrong("it is ambiguous: key '\(key)'")
            }
        }
    }

    private static func descriptors(_ json: JSONValue?, _ key: String) throws -> [Descriptor] {
        if json == nil || json == .null { throw wrong("'\(key)' is missing") }
        guard let items = json?.array else { throw wrong("'\(key)' is no list") }
        guard items.count <= maxDescriptors else { throw wrong("'\(key)' has more than \(maxDescriptors) items") }
        return try items.map { try Descriptor(json: $0, in: key) }
    }
}

/// The manifest of an image for one platform.
package struct ImageManifest: Sendable, Hashable {
    package var config: Descriptor
    /// Bottom first.
    package var layers: [Descriptor]

    package init(config: Descriptor, layers: [Descriptor]) {
        self.config = config
        self.layers = layers
    }

    /// Compressed bytes of config and layers.
    package var size: Int64 { layers.reduce(config.size) { $0 + $1.size } }
}

extension Descriptor {
    /// The largest blob that is believed.
    private static var maxBlobSize: Int64 { 1 << 40 }

    /// Reads a descriptor of a manifest.
    ///
    /// - Throws: `failedPrecondition`.
    package init(json: JSONValue, in key: String) throws {
        func wrong(_ why: String) -> BerthError {
            BerthError(.failedPrecondition, "the manifest cannot be used: a descriptor in '\(key)': \(why)")
        }
        guard let type = json["mediaType"]?.string, !type.isEmpty, type.utf8.count <= 255 else {
            throw wrong("no 'mediaType'")
        }
        guard let text = json["digest"]?.string else { throw wrong("no 'digest'") }
        guard let digest = try? Digest(text) else { throw wrong("'\(text.prefix(160))' is no digest") }
        guard let size = json["size"]?.integer, size >= 0, size <= Self.maxBlobSize else {
            throw wrong("no proper 'size'")
        }
        self.init(mediaType: type, digest: digest, size: size)
        urls = json["urls"]?.array?.compactMap(\.string)
        annotations = json["annotations"]?.object?.compactMapValues(\.string)
        artifactType = json["artifactType"]?.string
        if let platform = json["platform"], platform.object != nil { self.platform = Platform(json: platform) }
    }

    /// A statement about another manifest (signature, attestation), not an image.
    package var isAttestation: Bool { annotations?["vnd.docker.reference.type"] != nil }
}

extension Platform {
    /// Reads a platform of an index or a config.
    package init(json: JSONValue) {
        self.init(
            architecture: json["architecture"]?.string ?? "", os: json["os"]?.string ?? "",
            variant: json["variant"]?.string.flatMap { $0.isEmpty ? nil : $0 })
        osVersion = json["os.version"]?.string
        osFeatures = json["os.features"]?.array?.compactMap(\.string)
    }
}
