internal import BerthBase
internal import BerthKernel
internal import BerthServices
internal import Logging

/// Mark and sweep over the metadata; files by their drivers, after the rows.
///
/// The marking of a plan reads one snapshot of the database. Each sweep is a transaction of its own that marks again,
/// so that what was referred to meanwhile stays, and removes at most a batch of rows. A kill after a commit leaves
/// snapshots and bytes without a row: the next start removes the former, the next collection the latter.
actor GarbageSweeper: GarbageCollector {
    private let config: SweeperConfig
    private let metadata: any MetadataStore
    private let content: any ContentStore
    private let snapshots: any SnapshotService
    private let logger: Logger
    private let now: @Sendable () -> Timestamp
    private let turn = KeyedLanes<String>()
    /// What had expired by then has been looked at.
    private var lastMark = Timestamp(nanoseconds: .min)

    init(
        config: SweeperConfig, metadata: any MetadataStore, content: any ContentStore,
        snapshots: any SnapshotService, logger: Logger, now: @escaping @Sendable () -> Timestamp = { .now() }
    ) {
        self.config = config
        self.metadata = metadata
        self.content = content
        self.snapshots = snapshots
        self.logger = logger
        self.now = now
    }

    func plan() async throws -> GarbageReport {
        let graph = try await graph()
        var removed: [GarbageItem] = []
        // Bytes of a blob go only with the last namespace that sees it.
        let kept = Set(graph.reached.keys.filter { $0.kind == .content }.map(\.key))
        var counted = kept
        for node in graph.garbage {
            var size = graph.items[node] ?? 0
            if node.kind == .content, !counted.insert(node.key).inserted { size = 0 }
            if node.kind == .snapshot { size = await usage(of: node, graph) }
            removed.append(GarbageItem(namespace: node.namespace, kind: node.kind, key: node.key, size: size))
        }
        let known = Set(graph.items.keys.filter { $0.kind == .content }.map(\.key))
        for blob in try await orphans() where !known.contains(blob.digest.description) {
            removed.append(GarbageItem(namespace: "", kind: .content, key: blob.digest.description, size: blob.size))
        }
        removed += try await oldIngests(graph).map {
            GarbageItem(namespace: "", kind: .ingest, key: $0.ref, size: $0.offset)
        }
        return GarbageReport(removed: removed, kept: graph.items.count - graph.garbage.count)
    }

    func collect() async throws -> GarbageReport {
        let report = try await turn.run("collect") { try await sweepAll(measures: true) }
        // An operator has looked: from now on it is collected by itself again.
        try await metadata.write { try $0.setValue(nil, for: DamageNote.key, table: DamageNote.table) }
        return report
    }

    /// A collection by itself: sizes of snapshots are not measured.
    func collectByItself() async throws -> GarbageReport {
        try await turn.run("collect") { try await sweepAll(measures: false) }
    }

    func explain(_ key: String, in namespace: NamespaceID) async throws -> [GarbageReference]? {
        let graph = try await graph()
        // A reference may name what is not here (the other platforms of an index): that is not explained.
        let roots = graph.reached.keys.filter { $0.kind == .container || $0.kind == .sandbox }
        let nodes = Set(graph.items.keys).union(roots).filter { node in
            guard node.namespace == namespace else { return false }
            return node.key == key || (node.kind == .snapshot && node.key.hasSuffix("/\(key)"))
        }
        guard !nodes.isEmpty else {
            throw BerthError(.notFound, "explain '\(key)': nothing in namespace '\(namespace)' has this key")
        }
        return nodes.sorted { $0.kind.rawValue < $1.kind.rawValue }.lazy.compactMap(graph.chain).first
    }

    /// When the next lease or image expires, or has expired since the last collection began.
    func nextExpiry() async throws -> Timestamp? {
        let seen = lastMark
        return try await metadata.read { reader in
            try reader.namespaces().flatMap { namespace in
                try reader.leases(in: namespace.name, filters: []).map(\.labels)
                    + reader.images(in: namespace.name, filters: []).map(\.labels)
            }.compactMap(GarbageLabels.expiry).filter { $0 > seen }.min()
        }
    }

    /// Why nothing is collected by itself, if so.
    func pauseReason() async throws -> String? {
        let note = try await metadata.read { try $0.value(DamageNote.key, table: DamageNote.table) }
        return note.map { String(decoding: $0, as: UTF8.self) }
    }

    // MARK: Sweeping

    private func graph() async throws -> ReferenceGraph {
        let (names, now) = (snapshots.snapshotters, now())
        return try await metadata.read { try ReferenceGraph(reading: $0, snapshotters: names, now: now) }
    }

    private func sweepAll(measures: Bool) async throws -> GarbageReport {
        var removed: [GarbageItem] = []
        let begin = now()
        var graph = try await graph()
        var touched: Set<String> = []
        while !graph.garbage.isEmpty {
            try Task.checkCancellation()
            let swept = try await sweepRows()
            graph = swept.graph
            guard !swept.nodes.isEmpty else { break }
            FaultPoint.hit("gc.after-rows")
            for node in swept.nodes {
                var size: Int64 = 0
                if let backend = swept.graph.backends[node] {
                    let snapshotter = String(node.key.prefix { $0 != "/" })
                    if measures { size = await usage(of: node, swept.graph) }
                    if await remove(backend, of: snapshotter) { touched.insert(snapshotter) }
                }
                removed.append(GarbageItem(namespace: node.namespace, kind: node.kind, key: node.key, size: size))
            }
        }
        for (digest, size) in try await sweepBytes(removed) {
            // Counted once, with the last of the rows that went.
            if let index = removed.lastIndex(where: { $0.kind == .content && $0.key == digest }) {
                removed[index].size = size
            } else {
                removed.append(GarbageItem(namespace: "", kind: .content, key: digest, size: size))
            }
        }
        for ingest in try await oldIngests(graph) {
            // One that has a writer again by now is none of ours.
            guard (try? await content.abort(ref: ingest.ref)) != nil else { continue }
            removed.append(GarbageItem(namespace: "", kind: .ingest, key: ingest.ref, size: ingest.offset))
        }
        for name in touched.sorted() { try await snapshots.driver(name).cleanup() }
        lastMark = begin
        return GarbageReport(removed: removed, kept: graph.items.count)
    }

    /// Marks again and removes a batch of rows, in one transaction.
    private func sweepRows() async throws -> (nodes: [GarbageNode], graph: ReferenceGraph) {
        let (names, now, size) = (snapshots.snapshotters, now(), config.batch)
        return try await metadata.write { writer in
            let graph = try ReferenceGraph(reading: writer, snapshotters: names, now: now)
            let nodes = graph.batch(of: size)
            for node in nodes { try Self.delete(node, writer) }
            return (nodes, graph)
        }
    }

    private static func delete(_ node: GarbageNode, _ writer: any MetadataWriter) throws {
        switch node.kind {
        case .content: try writer.deleteBlob(Digest(node.key), in: node.namespace)
        case .image: try writer.deleteImage(node.key, in: node.namespace)
        case .lease: try writer.deleteLease(LeaseID(node.key), in: node.namespace)
        case .snapshot:
            let parts = node.key.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            try writer.deleteSnapshot(SnapshotKey(parts[1]), of: parts[0], in: node.namespace)
        case .container, .sandbox, .ingest: break
        }
    }

    /// Its row is gone; what the driver cannot remove now is found at the next start.
    private func remove(_ backend: SnapshotKey, of snapshotter: String) async -> Bool {
        do {
            try await snapshots.driver(snapshotter).remove(backend)
            FaultPoint.hit("gc.after-snapshot")
            return true
        } catch let error as BerthError where error.code == .notFound {
            return false
        } catch {
            logger.warning(
                "a snapshot without a row stays until the next start",
                metadata: ["snapshot": "\(backend)", "error": "\(error)"])
            return false
        }
    }

    private func usage(of node: GarbageNode, _ graph: ReferenceGraph) async -> Int64 {
        let snapshotter = String(node.key.prefix { $0 != "/" })
        guard let backend = graph.backends[node] else { return 0 }
        return (try? await snapshots.driver(snapshotter).usage(of: backend).size) ?? 0
    }

    // MARK: Bytes

    /// Blobs that no namespace sees and that are not so young that their row may be on its way.
    private func orphans() async throws -> [BlobInfo] {
        let oldest = Timestamp(nanoseconds: now().nanoseconds - Int64(config.orphanMinutes) * 60_000_000_000)
        return try await content.list().filter { $0.createdAt <= oldest }
    }

    /// Removes the bytes of blobs that no row and no lease names, with those whose rows have just gone first.
    private func sweepBytes(_ swept: [GarbageItem]) async throws -> [(digest: String, size: Int64)] {
        var sizes = Dictionary(
            try await orphans().map { ($0.digest.description, $0.size) }, uniquingKeysWith: { first, _ in first })
        for item in swept where item.kind == .content {
            if let digest = try? Digest(item.key), let info = try? await content.info(digest) {
                sizes[item.key] = info.size
            }
        }
        var gone: [(String, Int64)] = []
        var candidates = sizes.keys.sorted()
        while !candidates.isEmpty {
            let batch = Array(candidates.prefix(config.batch))
            candidates.removeFirst(batch.count)
            gone += try await deleteUnnamed(batch).map { ($0, sizes[$0] ?? 0) }
            FaultPoint.hit("gc.after-bytes")
        }
        return gone
    }

    /// Inside a transaction, because a pull that puts its row or its lease's hold next must find the blob gone.
    private func deleteUnnamed(_ digests: [String]) async throws -> [String] {
        let content = content
        let (gone, later) = try await metadata.write { writer -> ([String], [Digest]) in
            let named = try Self.named(writer)
            var gone: [String] = []
            var later: [Digest] = []
            for text in digests where !named.contains(text) {
                let digest = try Digest(text)
                do {
                    try content.deleteBlocking(digest)
                    gone.append(text)
                } catch let error as BerthError {
                    switch error.code {
                    case .notFound: break
                    case .unimplemented: later.append(digest)
                    default: throw error
                    }
                }
            }
            return (gone, later)
        }
        for digest in later { try await content.delete(digest) }
        return gone + later.map(\.description)
    }

    /// Every digest that a row or a lease of any namespace names.
    private static func named(_ reader: any MetadataReader) throws -> Set<String> {
        var named: Set<String> = []
        for namespace in try reader.namespaces() {
            for blob in try reader.blobs(in: namespace.name, filters: []) { named.insert(blob.digest.description) }
            for lease in try reader.leases(in: namespace.name, filters: []) {
                for case .content(let digest) in try reader.resources(of: lease.id, in: namespace.name) {
                    named.insert(digest.description)
                }
            }
        }
        return named
    }

    /// Ingests that nobody has written to for long and no lease holds.
    private func oldIngests(_ graph: ReferenceGraph) async throws -> [IngestStatus] {
        let oldest = Timestamp(nanoseconds: now().nanoseconds - Int64(config.ingestHours) * 3_600_000_000_000)
        return try await content.ingests().filter { $0.updatedAt <= oldest && !graph.ingests.contains($0.ref) }
    }
}
