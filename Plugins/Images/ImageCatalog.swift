internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import Synchronization

/// The images of a namespace: names point at content, content says the rest.
struct ImageCatalog: Sendable {
    /// The fewest hex digits that are taken for an ID.
    static let minPrefix = 5

    let metadata: any MetadataStore
    let content: any ContentStore
    private let facts = FactCache()

    init(metadata: any MetadataStore, content: any ContentStore) {
        (self.metadata, self.content) = (metadata, content)
    }

    func list(in namespace: NamespaceID, choice: PlatformChoice = .host) async throws -> [ImageInfo] {
        let records = try await metadata.read { try $0.images(in: namespace, filters: []) }
        return try await images(of: records, in: namespace, choice)
    }

    func resolve(_ nameOrID: String, in namespace: NamespaceID, choice: PlatformChoice) async throws -> ImageInfo {
        let names = Self.names(nameOrID)
        let record = try await metadata.read { reader in
            names.lazy.compactMap { try? reader.image($0, in: namespace) }.first
        }
        if let record {
            let others = try await metadata.read { try $0.images(in: namespace, filters: []) }
                .filter { $0.target.digest == record.target.digest }
            guard let image = try await images(of: others, in: namespace, choice).first else {
                throw BerthError(
                    .notFound, "image '\(nameOrID)' is not complete for platform \(choice.wanted); pull it again")
            }
            // Two targets may be one image by its ID: its names are those of both.
            return try await list(in: namespace, choice: choice).first { $0.id == image.id } ?? image
        }
        let missing = BerthError(.notFound, "image '\(nameOrID.prefix(300))' not found in namespace '\(namespace)'")
        guard let prefix = Self.idPrefix(nameOrID) else { throw missing }
        let found = try await list(in: namespace, choice: choice).filter { $0.id.hex.hasPrefix(prefix) }
        guard found.count <= 1 else {
            throw BerthError(
                .invalidArgument, "image ID '\(nameOrID)' is ambiguous: \(found.count) images begin with it")
        }
        guard let image = found.first else { throw missing }
        return image
    }

    func remove(_ nameOrID: String, in namespace: NamespaceID) async throws -> [String] {
        let names: [String]
        do { names = try await resolve(nameOrID, in: namespace, choice: .host).names } catch let error as BerthError
            where error.code == .notFound
        {
            // A name whose content is not complete goes all the same.
            names = Self.names(nameOrID)
        }
        return try await metadata.write(durability: .powerCut) { writer in
            try names.filter { name in
                do { try writer.deleteImage(name, in: namespace) } catch let error as BerthError
                    where error.code == .notFound
                { return false }
                return true
            }
        }
    }

    /// The rows a name may have: as it stands, normalised, and by digest alone.
    private static func names(_ text: String) -> [String] {
        guard let reference = try? ImageReference(text) else { return [text] }
        var names = [text, reference.description]
        if let digest = reference.digest { names.append(reference.pinned(to: digest).description) }
        return names
    }

    /// The digits of `sha256:…` or of a bare prefix.
    private static func idPrefix(_ text: String) -> String? {
        let digits = text.hasPrefix("sha256:") ? String(text.dropFirst(7)) : text
        let hex = digits.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        return hex && (minPrefix...64).contains(digits.utf8.count) ? digits : nil
    }

    /// Complete images of some rows, one an ID.
    private func images(
        of records: [ImageRecord], in namespace: NamespaceID, _ choice: PlatformChoice
    ) async throws -> [ImageInfo] {
        var found: [Digest: ImageInfo] = [:]
        var known: [Digest: ImageFacts?] = [:]
        for record in records {
            if known[record.target.digest] == nil {
                known[record.target.digest] = .some(try await facts.facts(of: record.target, choice, content))
            }
            guard let facts = known[record.target.digest] ?? nil else { continue }
            if found[facts.manifest.config.digest] == nil {
                guard try await isComplete(facts, in: namespace) else { continue }
                found[facts.manifest.config.digest] = facts.info(record)
            } else {
                found[facts.manifest.config.digest]?.add(record)
            }
        }
        return found.values.sorted { $0.id < $1.id }
    }

    private func isComplete(_ facts: ImageFacts, in namespace: NamespaceID) async throws -> Bool {
        let digests = [facts.descriptor.digest, facts.manifest.config.digest] + facts.manifest.layers.map(\.digest)
        return try await metadata.read { reader in digests.allSatisfy { (try? reader.blob($0, in: namespace)) != nil } }
    }
}

extension ImageInfo {
    /// Another name of the same image.
    fileprivate mutating func add(_ record: ImageRecord) {
        names.append(record.name)
        labels.merge(record.labels) { old, _ in old }
        createdAt = min(createdAt, record.createdAt)
    }
}

/// What the documents of an image say for one platform.
struct ImageFacts: Sendable {
    var descriptor: Descriptor
    var manifest: ImageManifest
    var config: [UInt8]
    var configuration: ImageConfiguration
    var chainID: Digest?

    func info(_ record: ImageRecord) -> ImageInfo {
        ImageInfo(
            names: [record.name], target: record.target, manifest: descriptor, id: manifest.config.digest,
            platform: configuration.platform, size: manifest.size + descriptor.size, config: config,
            diffIDs: configuration.diffIDs, chainID: chainID, labels: record.labels, createdAt: record.createdAt)
    }
}

/// Reads documents once: content never changes under its digest.
final class FactCache: Sendable {
    /// The most images remembered.
    static let maxImages = 1024
    /// The most documents of one index that are looked into.
    static let maxChildren = 64

    private struct Key: Hashable {
        let target: Digest
        let choice: PlatformChoice
    }

    private let known = Mutex<[Key: ImageFacts]>([:])

    /// nil if something is missing or makes no sense.
    func facts(
        of target: Descriptor, _ choice: PlatformChoice, _ content: any ContentStore
    ) async throws -> ImageFacts? {
        let key = Key(target: target.digest, choice: choice)
        if let facts = known.withLock({ $0[key] }) { return facts }
        guard let facts = await read(target, choice, content, 0) else { return nil }
        known.withLock { known in
            if known.count >= Self.maxImages { known.removeAll() }
            known[key] = facts
        }
        return facts
    }

    private func read(
        _ descriptor: Descriptor, _ choice: PlatformChoice, _ content: any ContentStore, _ depth: Int
    ) async -> ImageFacts? {
        guard depth <= Pull.maxIndexDepth, let bytes = try? await content.readAll(descriptor.digest),
            let document = try? ImageDocument(bytes, mediaType: descriptor.mediaType)
        else { return nil }
        switch document {
        case .manifest(let manifest):
            guard let config = try? await content.readAll(manifest.config.digest),
                let configuration = try? ImageConfiguration(config),
                configuration.diffIDs.count == manifest.layers.count
            else { return nil }
            var chain: Digest?
            for diffID in configuration.diffIDs { chain = try? LayerUnpack.chainID(of: diffID, on: chain) }
            return ImageFacts(
                descriptor: descriptor, manifest: manifest, config: config, configuration: configuration, chainID: chain
            )
        case .index(let children):
            // What runs here first; then what was pulled for another platform.
            let wanted = choice.candidates(children)
            let rest = children.filter { child in !child.isAttestation && !wanted.contains(child) }
            for child in (wanted + rest).prefix(Self.maxChildren) {
                if let facts = await read(child, choice, content, depth + 1) { return facts }
            }
            return nil
        }
    }
}
