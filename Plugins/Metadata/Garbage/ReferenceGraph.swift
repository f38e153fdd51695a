internal import BerthBase
internal import BerthServices

/// Pure: everything that refers or is referred to, as one snapshot of the database has it, and what of it is reached.
struct ReferenceGraph: Sendable {
    /// An edge, and how it is explained.
    struct Edge: Sendable {
        let target: GarbageNode
        let why: String
    }
    /// How a node was reached: from a root (nil) or another node.
    struct Way: Sendable {
        let from: GarbageNode?
        let why: String
    }

    /// What can be collected; sizes of blobs, 0 for the others.
    private(set) var items: [GarbageNode: Int64] = [:]
    /// The backend keys of snapshots.
    private(set) var backends: [GarbageNode: SnapshotKey] = [:]
    /// Leases that have expired: they keep nothing, whoever refers to them.
    private var expired: Set<GarbageNode> = []
    /// The refs of ingests that leases hold.
    private(set) var ingests: Set<String> = []
    /// How everything that is kept was reached.
    private(set) var reached: [GarbageNode: Way] = [:]

    private var edges: [GarbageNode: [Edge]] = [:]
    private var roots: [(node: GarbageNode, why: String)] = []
    private var flat: [GarbageNode] = []

    /// - Parameter snapshotters: whose rows are read; those of drivers that do not run are left alone.
    init(reading reader: any MetadataReader, snapshotters: [String], now: Timestamp) throws {
        for namespace in try reader.namespaces() {
            try readImages(reader, namespace.name, now)
            try readContent(reader, namespace.name)
            for snapshotter in snapshotters { try readSnapshots(reader, namespace.name, snapshotter) }
            try readPods(reader, namespace.name)
            try readLeases(reader, namespace.name, now)
        }
        mark()
    }

    /// What nothing keeps.
    var garbage: [GarbageNode] {
        items.keys.filter { reached[$0] == nil }.sorted {
            ($0.namespace.rawValue, $0.kind.rawValue, $0.key) < ($1.namespace.rawValue, $1.kind.rawValue, $1.key)
        }
    }

    /// The garbage with nothing above it in `parents`: snapshots whose children are garbage too come after them.
    func batch(of size: Int) -> [GarbageNode] {
        let garbage = garbage
        let snapshots = Set(garbage.filter { $0.kind == .snapshot })
        var hasChild: Set<GarbageNode> = []
        for node in snapshots {
            for edge in edges[node] ?? [] where snapshots.contains(edge.target) && edge.why == Self.parent {
                hasChild.insert(edge.target)
            }
        }
        return Array(garbage.filter { !hasChild.contains($0) }.prefix(size))
    }

    /// The chain from a root to the node, itself last; nil when nothing reaches it.
    func chain(to node: GarbageNode) -> [GarbageReference]? {
        guard reached[node] != nil else { return nil }
        var chain: [GarbageReference] = []
        var next: GarbageNode? = node
        while let current = next, let way = reached[current] {
            chain.append(GarbageReference(kind: current.kind, key: current.key, why: way.why))
            next = way.from
        }
        return chain.reversed()
    }

    // MARK: Reading

    private static let parent = "its parent"

    private mutating func add(_ labels: [String: String], of node: GarbageNode) {
        if labels[GarbageLabels.root] != nil { roots.append((node, "root: label \(GarbageLabels.root)")) }
        for reference in GarbageLabels.references(in: labels, of: node.namespace) {
            let (from, to) = reference.isBackward ? (reference.node, node) : (node, reference.node)
            edges[from, default: []].append(Edge(target: to, why: "label \(reference.label)"))
        }
    }

    private func hasExpired(_ labels: [String: String], _ now: Timestamp) -> Bool {
        GarbageLabels.expiry(labels).map { $0 <= now } ?? false
    }

    private mutating func readImages(_ reader: any MetadataReader, _ namespace: NamespaceID, _ now: Timestamp) throws {
        for image in try reader.images(in: namespace, filters: []) {
            let node = GarbageNode(namespace: namespace, kind: .image, key: image.name)
            items[node] = 0
            // An expired one is no root any more, but a lease may still hold it.
            if !hasExpired(image.labels, now) { roots.append((node, "root: an image")) }
            let target = GarbageNode(namespace: namespace, kind: .content, key: image.target.digest.description)
            edges[node, default: []].append(Edge(target: target, why: "the image's target"))
            add(image.labels, of: node)
        }
    }

    private mutating func readContent(_ reader: any MetadataReader, _ namespace: NamespaceID) throws {
        for blob in try reader.blobs(in: namespace, filters: []) {
            let node = GarbageNode(namespace: namespace, kind: .content, key: blob.digest.description)
            items[node] = blob.size
            add(blob.labels, of: node)
        }
    }

    private mutating func readSnapshots(
        _ reader: any MetadataReader, _ namespace: NamespaceID, _ snapshotter: String
    ) throws {
        for snapshot in try reader.snapshots(of: snapshotter, in: namespace, filters: []) {
            let node = GarbageNode.snapshot(snapshotter, snapshot.key, in: namespace)
            items[node] = 0
            backends[node] = snapshot.backendKey
            if let parent = snapshot.parent {
                let target = GarbageNode.snapshot(snapshotter, parent, in: namespace)
                edges[node, default: []].append(Edge(target: target, why: Self.parent))
            }
            add(snapshot.labels, of: node)
        }
    }

    private mutating func readPods(_ reader: any MetadataReader, _ namespace: NamespaceID) throws {
        for container in try reader.containers(in: namespace, filters: []) {
            let node = GarbageNode(namespace: namespace, kind: .container, key: container.id.rawValue)
            roots.append((node, "root: a container"))
            if !container.snapshotKey.rawValue.isEmpty {
                let target = GarbageNode.snapshot(container.snapshotter, container.snapshotKey, in: namespace)
                edges[node, default: []].append(Edge(target: target, why: "the container's root file system"))
            }
            add(container.labels, of: node)
        }
        for sandbox in try reader.sandboxes(in: namespace, filters: []) {
            let node = GarbageNode(namespace: namespace, kind: .sandbox, key: sandbox.id.rawValue)
            roots.append((node, "root: a sandbox"))
            add(sandbox.labels, of: node)
        }
    }

    private mutating func readLeases(_ reader: any MetadataReader, _ namespace: NamespaceID, _ now: Timestamp) throws {
        for lease in try reader.leases(in: namespace, filters: []) {
            let node = GarbageNode(namespace: namespace, kind: .lease, key: lease.id.rawValue)
            items[node] = 0
            guard !hasExpired(lease.labels, now) else {
                expired.insert(node)
                continue
            }
            let isFlat = lease.labels[GarbageLabels.flat] != nil
            if isFlat { flat.append(node) } else { roots.append((node, "root: a lease")) }
            for resource in try reader.resources(of: lease.id, in: namespace) {
                let target: GarbageNode
                switch resource {
                case .content(let digest):
                    target = GarbageNode(namespace: namespace, kind: .content, key: digest.description)
                case .snapshot(let snapshotter, let key): target = .snapshot(snapshotter, key, in: namespace)
                case .image(let name): target = GarbageNode(namespace: namespace, kind: .image, key: name)
                case .ingest(let ref):
                    ingests.insert(ref)
                    continue
                }
                edges[node, default: []].append(Edge(target: target, why: "the lease holds it"))
            }
        }
    }

    // MARK: Marking

    private mutating func mark() {
        var queue: [GarbageNode] = []
        func isAlive(_ node: GarbageNode) -> Bool { !expired.contains(node) }
        for root in roots where isAlive(root.node) && reached[root.node] == nil {
            reached[root.node] = Way(from: nil, why: root.why)
            queue.append(root.node)
        }
        // Breadth first: `explain` shows a shortest chain.
        var index = 0
        while index < queue.count {
            let node = queue[index]
            index += 1
            for edge in edges[node] ?? [] where isAlive(edge.target) && reached[edge.target] == nil {
                reached[edge.target] = Way(from: node, why: edge.why)
                queue.append(edge.target)
            }
        }
        for lease in flat {
            reached[lease] = Way(from: nil, why: "root: a lease (flat)")
            for edge in edges[lease] ?? [] where isAlive(edge.target) && reached[edge.target] == nil {
                reached[edge.target] = Way(from: lease, why: edge.why)
            }
        }
    }
}
