internal import BerthBase
internal import BerthServices

/// One thing in the graph of references.
struct GarbageNode: Hashable, Sendable {
    let namespace: NamespaceID
    let kind: GarbageKind
    /// A digest, `SNAPSHOTTER/KEY`, a name, an ID.
    let key: String

    static func snapshot(_ snapshotter: String, _ key: SnapshotKey, in namespace: NamespaceID) -> GarbageNode {
        GarbageNode(namespace: namespace, kind: .snapshot, key: "\(snapshotter)/\(key)")
    }
}

/// The references that labels make. Source: containerd, "Garbage Collection".
enum GarbageLabels {
    static let root = "containerd.io/gc.root"
    static let expire = "containerd.io/gc.expire"
    static let flat = "containerd.io/gc.flat"
    private static let forward = "containerd.io/gc.ref."
    private static let backward = "containerd.io/gc.bref."

    struct Reference: Equatable {
        let label: String
        let node: GarbageNode
        /// Whether what the label names refers to its bearer.
        let isBackward: Bool
    }

    static func references(in labels: [String: String], of namespace: NamespaceID) -> [Reference] {
        labels.compactMap { label, value in
            for (prefix, isBackward) in [(forward, false), (backward, true)] where label.hasPrefix(prefix) {
                guard let node = node(label.dropFirst(prefix.count), value, namespace, isBackward) else { return nil }
                return Reference(label: label, node: node, isBackward: isBackward)
            }
            return nil
        }
    }

    private static func node(
        _ rest: Substring, _ value: String, _ namespace: NamespaceID, _ isBackward: Bool
    ) -> GarbageNode? {
        guard !value.isEmpty else { return nil }
        let kind = rest.prefix { $0 != "." && $0 != "/" }
        let behind = rest.dropFirst(kind.count)
        switch kind {
        case "content": return GarbageNode(namespace: namespace, kind: .content, key: value)
        case "image": return GarbageNode(namespace: namespace, kind: .image, key: value)
        case "container" where isBackward: return GarbageNode(namespace: namespace, kind: .container, key: value)
        case "sandbox" where isBackward: return GarbageNode(namespace: namespace, kind: .sandbox, key: value)
        case "snapshot":
            // `snapshot.overlay` or, for several of one snapshotter, `snapshot.overlay/anything`.
            let snapshotter = behind.dropFirst().prefix { $0 != "/" }
            guard behind.first == ".", !snapshotter.isEmpty else { return nil }
            return .snapshot(String(snapshotter), SnapshotKey(value), in: namespace)
        default: return nil
        }
    }

    /// Whether something with these labels may lose what it refers to, or itself, when they become others.
    static func loses(_ before: [String: String], _ after: [String: String]) -> Bool {
        before.contains { $0.key.hasPrefix("containerd.io/gc.") && after[$0.key] != $0.value }
    }

    /// When it expires, if it does.
    static func expiry(_ labels: [String: String]) -> Timestamp? { labels[expire].flatMap(Timestamp.init(rfc3339:)) }
}
