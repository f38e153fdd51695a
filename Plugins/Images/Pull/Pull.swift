internal import BerthArchive
internal import BerthBase
internal import BerthDigest
internal import BerthOCI
internal import BerthServices
internal import Synchronization

/// One pull for one caller: resolve, fetch, unpack, write the rows.
struct Pull: Sendable {
    /// The deepest nesting of indexes.
    static let maxIndexDepth = 4
    /// The most layers of an image.
    static let maxLayers = 1024
    /// The most addresses of a foreign layer that are tried.
    static let maxForeignAddresses = 8

    let services: PullServices
    let reference: ImageReference
    let request: PullRequest
    let choice: PlatformChoice
    let snapshotter: String
    let client: RegistryClient
    let lease: PullLease
    let board: PullBoard
    let recorder: BlobRecorder

    /// What the registry's documents say.
    struct Resolved: Sendable {
        var target: Descriptor
        var manifestDescriptor: Descriptor
        var manifest: ImageManifest
        /// Every document on the way, with its labels.
        var documents: [(descriptor: Descriptor, labels: [String: String])]
    }

    func run() async throws -> [String] {
        let resolved = try await resolve()
        FaultPoint.hit("pull.resolved")
        let layers = resolved.manifest.layers
        for layer in layers {
            do { _ = try Compression(mediaType: layer.mediaType) } catch let error as BerthError {
                throw BerthError(.failedPrecondition, error.message)
            }
        }
        guard layers.count <= Self.maxLayers else {
            throw BerthError(.failedPrecondition, "the image has \(layers.count) layers, more than \(Self.maxLayers)")
        }
        let (config, configuration) = try await fetchConfig(resolved.manifest)
        FaultPoint.hit("pull.config")
        guard configuration.diffIDs.count == layers.count else {
            throw BerthError(
                .failedPrecondition,
                "the image's config names \(configuration.diffIDs.count) layers, its manifest \(layers.count)")
        }
        board.begin(layers)
        let top = try await fetchAndUnpack(layers, configuration.diffIDs)
        FaultPoint.hit("pull.layers")
        var configLabels: [String: String] = [:]
        if let top { configLabels[GCLabel.snapshot(snapshotter)] = top.description }
        let names = try await finish(resolved, config, configLabels)
        FaultPoint.hit("pull.named")
        board.enter("done")
        return names
    }

    // MARK: Documents

    private func resolve() async throws -> Resolved {
        let what = "get the manifest of '\(reference)'"
        let thing = "manifests/" + (reference.digest?.description ?? reference.tag ?? "latest")
        let answer = try await client.get(
            thing, accept: Self.documentTypes, limit: ImageDocument.maxSize, what: what, needs: .resolve)
        let algorithm = reference.digest?.algorithm ?? .sha256
        let digest = try Self.digest(answer.bytes, algorithm)
        if let wanted = reference.digest, wanted != digest {
            throw BerthError(.dataLoss, "\(what): its digest is \(digest), not \(wanted)")
        }
        if let told = answer.head.first("docker-content-digest"), let told = try? Digest(told),
            told.algorithm == algorithm,
            told != digest
        {
            throw BerthError(.dataLoss, "\(what): its digest is \(digest), the server says \(told)")
        }
        let type = try Self.mediaType(answer, what)
        let target = Descriptor(mediaType: type, digest: digest, size: Int64(answer.bytes.count))
        var documents: [(descriptor: Descriptor, labels: [String: String])] = []
        let (descriptor, manifest) = try await descend(target, answer.bytes, 0, &documents)
        return Resolved(target: target, manifestDescriptor: descriptor, manifest: manifest, documents: documents)
    }

    private static let documentTypes = [
        MediaType.ociIndex, MediaType.dockerList, MediaType.ociManifest, MediaType.dockerManifest,
    ]

    private static func digest(_ bytes: [UInt8], _ algorithm: Digest.Algorithm) throws -> Digest {
        let hash = try ContentHash(algorithm)
        hash.update(bytes)
        return hash.digest()
    }

    /// The type the server gives, or where it gives none, what the document calls itself.
    private static func mediaType(_ answer: (head: HTTPHead, bytes: [UInt8]), _ what: String) throws -> String {
        let vague = [
            "application/json", "text/plain", "application/octet-stream", "application/vnd.oci.image.manifest",
        ]
        if let type = answer.head.contentType, !vague.contains(type) { return type }
        guard let own = (try? JSONValue(parsing: answer.bytes))?["mediaType"]?.string else {
            throw BerthError(.failedPrecondition, "\(what): neither the server nor the document says what it is")
        }
        return own
    }

    /// From an index down to the manifest for the platform; each document is stored on the way.
    private func descend(
        _ descriptor: Descriptor, _ bytes: [UInt8], _ depth: Int,
        _ documents: inout [(descriptor: Descriptor, labels: [String: String])]
    ) async throws -> (Descriptor, ImageManifest) {
        let parsed = try ImageDocument(bytes, mediaType: descriptor.mediaType)
        try await store(bytes, descriptor)
        switch parsed {
        case .manifest(let manifest):
            guard MediaType.isConfig(manifest.config.mediaType) else {
                throw BerthError(
                    .failedPrecondition,
                    "it is no container image: its config is a '\(manifest.config.mediaType.prefix(160))'")
            }
            var labels = [GCLabel.config: manifest.config.digest.description]
            for (index, layer) in manifest.layers.enumerated() {
                labels[GCLabel.layer(index)] = layer.digest.description
            }
            documents.append((descriptor, labels))
            return (descriptor, manifest)
        case .index(let children):
            guard depth < Self.maxIndexDepth else {
                throw BerthError(.failedPrecondition, "its indexes are nested deeper than \(Self.maxIndexDepth)")
            }
            var labels: [String: String] = [:]
            for (index, child) in children.enumerated() { labels[GCLabel.manifest(index)] = child.digest.description }
            documents.append((descriptor, labels))
            guard let child = choose(children) else { throw noMatch(children) }
            return try await descend(child, try await document(child), depth + 1, &documents)
        }
    }

    /// The best match; an index or manifest without a platform is looked into if nothing matches by name.
    private func choose(_ children: [Descriptor]) -> Descriptor? {
        choice.candidates(children).first
            ?? children.first { child in
                child.platform == nil && !child.isAttestation
                    && (MediaType.isIndex(child.mediaType) || MediaType.isManifest(child.mediaType))
            }
    }

    private func noMatch(_ children: [Descriptor]) -> BerthError {
        let offered = children.compactMap { $0.isAttestation ? nil : $0.platform?.description }.prefix(16)
        return BerthError(
            .notFound, "no image for platform \(choice.wanted); there are: \(offered.joined(separator: ", "))")
    }

    /// A document by its descriptor: from the store if it is there and was the namespace's before, else from the
    /// registry.
    private func document(_ descriptor: Descriptor) async throws -> [UInt8] {
        let what = "get manifest \(descriptor.digest) of '\(reference.name)'"
        guard MediaType.isIndex(descriptor.mediaType) || MediaType.isManifest(descriptor.mediaType) else {
            throw BerthError(
                .failedPrecondition, "\(what): '\(descriptor.mediaType.prefix(160))' is no image manifest or index")
        }
        guard descriptor.size <= Int64(ImageDocument.maxSize) else {
            throw BerthError(.resourceExhausted, "\(what): it is longer than \(ImageDocument.maxSize) bytes")
        }
        if let known = try await stored(descriptor) { return known }
        let answer = try await client.get(
            "manifests/\(descriptor.digest)", accept: [descriptor.mediaType], limit: ImageDocument.maxSize, what: what,
            needs: .pull)
        guard Int64(answer.bytes.count) == descriptor.size else {
            throw BerthError(.dataLoss, "\(what): it has \(answer.bytes.count) bytes, not \(descriptor.size)")
        }
        let digest = try Self.digest(answer.bytes, descriptor.digest.algorithm)
        guard digest == descriptor.digest else { throw BerthError(.dataLoss, "\(what): its digest is \(digest)") }
        if let type = answer.head.contentType, type != descriptor.mediaType,
            MediaType.isIndex(type) || MediaType.isManifest(type)
        {
            throw BerthError(
                .failedPrecondition, "\(what): it is ambiguous: a '\(descriptor.mediaType)' served as '\(type)'")
        }
        return answer.bytes
    }

    private func stored(_ descriptor: Descriptor) async throws -> [UInt8]? {
        let namespace = request.namespace
        let digest = descriptor.digest
        let isOurs = try await services.metadata.read { (try? $0.blob(digest, in: namespace)) != nil }
        guard isOurs else { return nil }
        return try? await services.content.readAll(digest)
    }

    private func store(_ bytes: [UInt8], _ descriptor: Descriptor) async throws {
        let kind = MediaType.isIndex(descriptor.mediaType) ? "index" : "manifest"
        let ref = "\(kind)-\(descriptor.digest)"
        try await lease.hold(.content(descriptor.digest))
        do {
            let writer = try await services.content.writer(
                ref: ref, total: descriptor.size, expected: descriptor.digest)
            do {
                if try await writer.status().offset > 0 { try await writer.truncate(to: 0) }
                try await writer.write(bytes)
                _ = try await writer.commit(size: descriptor.size, expected: descriptor.digest)
            } catch {
                await writer.close()
                throw error
            }
        } catch let error as BerthError where error.code == .alreadyExists {}
        try await recorder.record([(descriptor, [:])], durability: .process)
        FaultPoint.hit("pull.document")
    }

    private func fetchConfig(_ manifest: ImageManifest) async throws -> (Descriptor, ImageConfiguration) {
        let config = manifest.config
        guard config.size <= Int64(ImageConfiguration.maxSize) else {
            throw BerthError(
                .resourceExhausted, "the image's config is longer than \(ImageConfiguration.maxSize) bytes")
        }
        try await BlobDownload(pull: self, descriptor: config, kind: "config", growth: BlobGrowth()).run()
        let configuration = try ImageConfiguration(try await services.content.readAll(config.digest))
        let platform = configuration.platform
        // A config without a platform is somebody's by hand: taken for any.
        guard platform.architecture.isEmpty || choice.rank(platform) != nil else {
            throw BerthError(.notFound, "no image for platform \(choice.wanted); it is for \(platform)")
        }
        return (config, configuration)
    }

    // MARK: Rows

    /// All labels and the names, in one transaction that survives a power cut; what it refers to is on disk.
    private func finish(
        _ resolved: Resolved, _ config: Descriptor, _ configLabels: [String: String]
    ) async throws -> [String] {
        FaultPoint.hit("pull.rows")
        let (namespace, source, target, extra) = (request.namespace, reference, resolved.target, request.labels)
        let names = [reference.description, reference.pinned(to: target.digest).description]
        let blobs = resolved.documents + [(config, configLabels)]
        return try await services.metadata.write(durability: .powerCut) { writer in
            for (descriptor, labels) in blobs { try BlobRecorder.put(descriptor, labels, source, writer, namespace) }
            var unique: [String] = []
            for name in names where !unique.contains(name) {
                unique.append(name)
                var record = ImageRecord(name: name, target: target, labels: extra)
                if let before = try? writer.image(name, in: namespace) {
                    record.labels = before.labels.merging(extra) { _, new in new }
                    record.createdAt = before.createdAt
                    if before.target == target, before.labels == record.labels { continue }
                }
                try writer.putImage(record, in: namespace)
            }
            return unique
        }
    }
}
