public import BerthBase

/// With whom a namespace is shared.
public enum NamespaceSharing: String, Sendable, Hashable, Codable {
    /// All containers of the pod.
    case pod
    /// Nobody: each container has its own.
    case container
    /// The host.
    case node
    /// One other container of the pod.
    case target
}

/// The pod's resolver settings; all empty: the host's.
public struct PodDNS: Sendable, Hashable, Codable {
    /// `nameserver` lines.
    public var servers: [String]
    /// The `search` line.
    public var searches: [String]
    /// The `options` line.
    public var options: [String]
    /// Makes settings.
    public init(servers: [String] = [], searches: [String] = [], options: [String] = []) {
        self.servers = servers
        self.searches = searches
        self.options = options
    }
}

/// The namespaces of a pod.
public struct PodNamespaceOptions: Sendable, Hashable, Codable {
    /// `.pod` (a network namespace connected by the pod network) or `.node`.
    public var network: NamespaceSharing = .pod
    /// `.pod` (shared, with a reaper as process 1), `.container` or `.node`.
    public var pid: NamespaceSharing = .container
    /// `.pod` or `.node`.
    public var ipc: NamespaceSharing = .pod
    /// User ID ranges of the pod's own user namespace; empty: the host's user namespace.
    public var uids: [IDMapping] = []
    /// Group ID ranges; empty exactly when `uids` is.
    public var gids: [IDMapping] = []
    /// A pod of its own, connected to the pod network.
    public init() {}
}

/// What a pod is made from. Its identity is `name`, `group`, `uid` and `attempt` within a namespace.
public struct PodSpec: Sendable, Hashable, Codable {
    /// The name people gave it.
    public var name: String
    /// The unique ID of whoever manages it, or empty.
    public var uid: String = ""
    /// The manager's own namespace (Kubernetes' namespace), or empty.
    public var group: String = ""
    /// The number of pods with this name before it.
    public var attempt: UInt32 = 0
    /// The host name; empty: the host's for a host-network pod, else the first characters of the ID.
    public var hostname: String = ""
    /// Where the containers' logs go, an absolute path; empty: a folder of the engine's own, removed with the pod.
    public var logDirectory: String = ""
    /// Resolver settings.
    public var dns: PodDNS?
    /// Ports that are reachable at the node.
    public var ports: [PortMapping] = []
    /// Labels.
    public var labels: [String: String] = [:]
    /// Annotations.
    public var annotations: [String: String] = [:]
    /// The cgroup above the pod's, an absolute cgroupfs path; empty: `/NAMESPACE`.
    public var cgroupParent: String = ""
    /// Namespaces.
    public var namespaces = PodNamespaceOptions()
    /// Kernel settings of the pod's own namespaces.
    public var sysctls: [String: String] = [:]
    /// Whether its containers may be privileged.
    public var privileged = false
    /// The SELinux label that was asked for, `user:role:type:level`, or empty.
    public var selinuxLabel: String = ""
    /// The runtime handler; empty: the configured default.
    public var runtimeHandler: String = ""
    /// Resources beside those of the containers, if the manager said.
    public var overhead: ResourceLimits?
    /// The sum of the containers' resources, if the manager said.
    public var resources: ResourceLimits?
    /// A pod of that name with every default.
    public init(name: String) { self.name = name }
}

/// Where a pod is.
public enum PodState: String, Sendable, Codable {
    /// Being made; shown by no list.
    case starting
    /// Containers can be created in it.
    case ready
    /// Stopped, lost, or half undone.
    case notReady
}

/// A pod as the engine knows it.
public struct PodInfo: Sendable, Hashable {
    /// Its ID, 64 hex digits.
    public var id: PodID
    /// The containerd namespace it lives in.
    public var namespace: NamespaceID
    /// What it was made from.
    public var spec: PodSpec
    /// Where it is.
    public var state: PodState
    /// Why it is not ready, if it is not.
    public var reason: String
    /// When it was made.
    public var createdAt: Timestamp
    /// Its addresses, the primary one first; empty with the host's network.
    public var addresses: [String]
    /// The path of its network namespace; empty with the host's network.
    public var netns: String
    /// A process on the host that stands for it; 0 once stopped.
    public var pid: UInt32
    /// The result of the network plugins, JSON; empty with the host's network.
    public var networkResult: [UInt8]
    /// Makes an info.
    public init(
        id: PodID, namespace: NamespaceID, spec: PodSpec, state: PodState, reason: String, createdAt: Timestamp
    ) {
        self.id = id
        self.namespace = namespace
        self.spec = spec
        self.state = state
        self.reason = reason
        self.createdAt = createdAt
        addresses = []
        netns = ""
        pid = 0
        networkResult = []
    }
}
