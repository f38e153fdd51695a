package import BerthBase

/// What to unpack and where.
package struct UnpackRequest: Sendable {
    /// The largest layer, unpacked, unless the request says otherwise.
    package static let defaultMaxSize: Int64 = 1 << 40

    /// How the bytes are compressed.
    package var compression: Compression
    /// The directory the layer goes into.
    package var target: String
    /// How the layer hides files of the layers below.
    package var whiteouts: WhiteoutForm
    /// The directories of the layers below, top first: where owner and mode of directories come from that the
    /// layer uses without naming them. May be empty.
    package var lowers: [String]
    /// Where the manifest goes, if one is wanted.
    package var manifest: String?
    /// What the uncompressed bytes must hash to, if known.
    package var diffID: Digest?
    /// Whether the compressed bytes are hashed too.
    package var hashesInput = false
    /// The largest uncompressed size.
    package var maxSize = UnpackRequest.defaultMaxSize

    /// Makes a request.
    package init(
        _ compression: Compression, into target: String, whiteouts: WhiteoutForm, lowers: [String] = [],
        manifest: String? = nil
    ) {
        self.compression = compression
        self.target = target
        self.whiteouts = whiteouts
        self.lowers = lowers
        self.manifest = manifest
    }

    /// Where a snapshot's mounts would have the layer written, found without mounting.
    ///
    /// - Parameters:
    ///   - mounts: what `prepare` returned.
    ///   - rebasing: the snapshot was prepared without its parent and gets it on commit.
    /// - Throws: `unimplemented` for mounts that must be performed to be written to.
    package init(_ compression: Compression, mounts: [Mount], rebasing: Bool = false) throws {
        guard mounts.count == 1, let mount = mounts.first, mount.target.isEmpty else {
            throw BerthError(
                .unimplemented, "unpack a layer into \(mounts.count) mounts: only one can be unpacked into")
        }
        func option(_ name: String) -> String? {
            mount.options.first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
        }
        switch mount.type {
        case "bind" where !mount.options.contains("ro"):
            self.init(compression, into: mount.source, whiteouts: rebasing ? .overlay : .plain)
        case "overlay":
            guard let upper = option("upperdir") else { fallthrough }
            let lowers = option("lowerdir")?.split(separator: ":").map(String.init) ?? []
            self.init(compression, into: upper, whiteouts: .overlay, lowers: lowers)
        default:
            throw BerthError(
                .unimplemented, "unpack a layer into a mount of type '\(mount.type)': it cannot be written to")
        }
        // Beside the layer's directory, where the snapshotter looks for it after a power cut.
        if let slash = target.lastIndex(of: "/"), slash != target.startIndex {
            manifest = target[..<slash] + "/manifest"
        }
    }

    var json: JSONValue {
        .object([
            "compression": .string(compression.rawValue), "target": .string(target),
            "whiteouts": .string(whiteouts.rawValue), "lowers": .array(lowers.map { .string($0) }),
            "manifest": manifest.map { .string($0) } ?? .null,
            "diffID": diffID.map { .string($0.description) } ?? .null,
            "hashesInput": .bool(hashesInput), "maxSize": .number(String(maxSize)),
        ])
    }

    init(_ json: JSONValue) throws {
        guard let compression = json["compression"]?.string.flatMap(Compression.init(rawValue:)),
            let target = json["target"]?.string, let maxSize = json["maxSize"]?.integer,
            let whiteouts = json["whiteouts"]?.string.flatMap(WhiteoutForm.init(rawValue:))
        else { throw BerthError(.invalidArgument, "read an unpack request: a field is missing") }
        self.init(compression, into: target, whiteouts: whiteouts)
        lowers = json["lowers"]?.array?.compactMap(\.string) ?? []
        manifest = json["manifest"]?.string
        diffID = try json["diffID"]?.string.map { try Digest($0) }
        hashesInput = json["hashesInput"]?.bool ?? false
        self.maxSize = maxSize
    }
}

/// What came of a layer.
package struct UnpackResult: Sendable, Hashable {
    /// The digest of the uncompressed bytes.
    package var diffID: Digest
    /// The digest of the compressed bytes, if it was asked for.
    package var blobDigest: Digest?
    /// The number of compressed bytes.
    package var blobSize: Int64 = 0
    /// The number of uncompressed bytes.
    package var tarSize: Int64 = 0
    /// The number of members.
    package var entries = 0
    /// The bytes of all files.
    package var fileBytes: Int64 = 0
    /// Extended attributes that the file system does not take.
    package var skippedAttributes = 0

    init(diffID: Digest) { self.diffID = diffID }

    var json: JSONValue {
        .object([
            "diffID": .string(diffID.description), "blobDigest": blobDigest.map { .string($0.description) } ?? .null,
            "blobSize": .number(String(blobSize)), "tarSize": .number(String(tarSize)),
            "entries": .number(String(entries)), "fileBytes": .number(String(fileBytes)),
            "skippedAttributes": .number(String(skippedAttributes)),
        ])
    }

    init(_ json: JSONValue) throws {
        guard let diffID = json["diffID"]?.string else {
            throw BerthError(.internal, "read an unpack result: no diffID")
        }
        try self.init(diffID: Digest(diffID))
        blobDigest = try json["blobDigest"]?.string.map { try Digest($0) }
        blobSize = json["blobSize"]?.integer ?? 0
        tarSize = json["tarSize"]?.integer ?? 0
        entries = Int(json["entries"]?.integer ?? 0)
        fileBytes = json["fileBytes"]?.integer ?? 0
        skippedAttributes = Int(json["skippedAttributes"]?.integer ?? 0)
    }
}
