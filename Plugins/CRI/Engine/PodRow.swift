internal import BerthBase
internal import BerthOCI
internal import BerthServices

/// A pod as the engine keeps it: what it was made from, which never changes, and how it is.
struct PodRow: Sendable, Hashable {
    var id: PodID
    var namespace: NamespaceID
    var origin: Origin
    var status: Status

    /// Kept with the sandbox's record.
    struct Origin: Sendable, Hashable, Codable {
        var spec: PodSpec
        /// The digest of `spec`: two calls with the same one ask for the same pod.
        var digest: String
        var runtime: String
        var sandboxer: String
        var createdAt: Timestamp
    }

    /// Where a pod's life is. The row says what is about to be before it is.
    enum Phase: String, Sendable, Codable { case starting, ready, stopping, stopped, removing }

    /// Kept in the engine's own table.
    struct Status: Sendable, Hashable, Codable {
        var phase: Phase
        var reason = ""
        var netns = ""
        var addresses: [String] = []
        /// JSON of the network plugins.
        var networkResult = ""
        var pid: UInt32 = 0
        /// What an undo could not undo; the next stop and removal try again.
        var leftovers: [String] = []
    }

    var spec: PodSpec { origin.spec }

    /// What must be unique: a namespace's pods by name, group, uid and attempt.
    var identity: String { Self.identity(spec, in: namespace) }

    static func identity(_ spec: PodSpec, in namespace: NamespaceID) -> String {
        "\(namespace)/\(spec.name)/\(spec.group)/\(spec.uid)/\(spec.attempt)"
    }

    var info: PodInfo {
        let state: PodState =
            switch status.phase {
            case .starting: .starting
            case .ready: .ready
            case .stopping, .stopped, .removing: .notReady
            }
        var info = PodInfo(
            id: id, namespace: namespace, spec: spec, state: state, reason: status.reason, createdAt: origin.createdAt)
        info.addresses = status.addresses
        info.netns = status.netns
        info.pid = status.pid
        info.networkResult = Array(status.networkResult.utf8)
        return info
    }
}

/// A container as the engine keeps it.
struct ContainerRow: Sendable, Hashable {
    var id: ContainerID
    var namespace: NamespaceID
    var origin: Origin
    var status: Status

    /// Kept with the container's record.
    struct Origin: Sendable, Hashable, Codable {
        var pod: PodID
        var spec: ContainerSpec
        var digest: String
        var runtime: String
        var imageName: String
        var imageID: String
        var imageRef: String
        var createdAt: Timestamp
        var logPath: String
        var stopSignal: String
        var user: ResolvedUser
        var arguments: [String]
        var snapshotter: String
        var snapshotKey: SnapshotKey
        /// A FIFO when standard input stays open.
        var stdin: String
    }

    /// Where a container's life is.
    enum Phase: String, Sendable, Codable { case created, starting, running, exited, removing }

    /// Kept in the engine's own table.
    struct Status: Sendable, Hashable, Codable {
        var phase: Phase
        var startedAt: Timestamp?
        var finishedAt: Timestamp?
        var exitCode: Int32 = 0
        var reason = ""
        var message = ""
        var pid: UInt32 = 0
        /// What the resources are now, once they were changed.
        var resources: ResourceLimits?
        /// The shim does not answer: the true state is not known.
        var silent = false
    }

    var spec: ContainerSpec { origin.spec }
    var ref: TaskRef { TaskRef(namespace, id) }
    var hasEnded: Bool { status.finishedAt != nil }

    /// What must be unique in a pod.
    var identity: String { Self.identity(spec, pod: origin.pod) }

    static func identity(_ spec: ContainerSpec, pod: PodID) -> String { "\(pod)/\(spec.name)/\(spec.attempt)" }

    var state: ContainerState {
        if status.silent { return .unknown }
        switch status.phase {
        case .created, .starting: return .created
        case .running: return .running
        case .exited: return .exited
        case .removing: return hasEnded ? .exited : .unknown
        }
    }

    var info: ContainerInfo {
        var spec = origin.spec
        if let resources = status.resources { spec.resources = resources }
        var info = ContainerInfo(
            id: id, pod: origin.pod, namespace: namespace, spec: spec, state: state, createdAt: origin.createdAt)
        info.reason = status.reason
        info.message = status.message
        info.imageName = origin.imageName
        info.imageID = origin.imageID
        info.imageRef = origin.imageRef
        info.startedAt = status.startedAt
        info.finishedAt = status.finishedAt
        info.exitCode = status.exitCode
        info.pid = status.pid
        info.logPath = origin.logPath
        info.stopSignal = origin.stopSignal
        info.uid = origin.user.uid
        info.gid = origin.user.gid
        info.groups = origin.user.groups
        info.arguments = origin.arguments
        info.snapshotter = origin.snapshotter
        info.snapshotKey = origin.snapshotKey
        return info
    }
}
