public import BerthBase
public import BerthKernel
public import SystemPackage

/// A port of the pod that is reachable at the node.
public struct PortMapping: Sendable, Hashable, Codable {
    /// `tcp`, `udp` or `sctp`.
    public var transport: String
    /// The port in the pod.
    public var containerPort: Int32
    /// The port at the node.
    public var hostPort: Int32
    /// The node's address it listens on; empty: all.
    public var hostIP: String
    /// Makes a mapping.
    public init(transport: String, containerPort: Int32, hostPort: Int32, hostIP: String = "") {
        self.transport = transport
        self.containerPort = containerPort
        self.hostPort = hostPort
        self.hostIP = hostIP
    }
}

/// A range of user or group IDs of a user namespace.
public struct IDMapping: Sendable, Hashable, Codable {
    /// The first ID inside.
    public var containerID: UInt32
    /// The first ID outside.
    public var hostID: UInt32
    /// The number of IDs.
    public var size: UInt32
    /// Makes a mapping.
    public init(containerID: UInt32, hostID: UInt32, size: UInt32) {
        self.containerID = containerID
        self.hostID = hostID
        self.size = size
    }
}

/// What a pod asks of the network.
public struct PodNetworkRequest: Sendable, Hashable, Codable {
    /// The pod.
    public var pod: PodID
    /// The network namespace, a path that stays until the teardown has succeeded.
    public var netns: String
    /// `K8S_POD_NAMESPACE` and its like.
    public var arguments: [String: String] = [:]
    /// Ports, for plugins with the `portMappings` capability.
    public var portMappings: [PortMapping] = []
    /// Bits per second into and out of the pod, for plugins with the `bandwidth` capability; 0: no limit.
    public var ingressRate: Int64 = 0
    /// Bits per second out of the pod.
    public var egressRate: Int64 = 0
    /// DNS for plugins with the `dns` capability.
    public var dnsServers: [String] = []
    /// The pod's cgroup, for plugins with the `cgroupPath` capability.
    public var cgroupPath: String = ""
    /// Makes a request.
    public init(pod: PodID, netns: String) {
        self.pod = pod
        self.netns = netns
    }
}

/// What the network gave a pod.
public struct PodNetworkResult: Sendable, Hashable, Codable {
    /// The addresses of the pod's first interface, IPv4 and IPv6, without prefix length; the first is primary.
    public var addresses: [String]
    /// The result of the plugins, JSON as the CNI spec has it.
    public var raw: [UInt8]
    /// Makes a result.
    public init(addresses: [String], raw: [UInt8]) {
        self.addresses = addresses
        self.raw = raw
    }
}

/// Connects pods to the network.
public protocol PodNetwork: Sendable {
    /// Makes a user namespace with these maps (`container host size` triples), bind-mounted at a path of its own.
    func makeUserNamespace(pod: PodID, uids: [IDMapping], gids: [IDMapping]) async throws -> FilePath
    /// Makes a network namespace bind-mounted at a path of its own (in the user namespace of `userns`, if given).
    func makeNamespace(pod: PodID, userns: FilePath?) async throws -> FilePath
    /// Connects the pod. The attempt is recorded before the first plugin runs. On a failure the teardown is queued.
    /// - Throws: `unavailable` while no configuration is loaded; `deadlineExceeded`; the plugin's own words.
    func attach(_ request: PodNetworkRequest) async throws -> PodNetworkResult
    /// Queues the teardown of whatever was attempted for the pod and the removal of its namespace; returns once the
    /// intent is recorded, or when it succeeded within `patience`. Nothing recorded is success.
    func detach(pod: PodID, patience: Duration) async throws
    /// Whether the pod is connected as its record says.
    func check(pod: PodID) async throws
    /// The recorded result of a connected pod.
    func result(pod: PodID) async throws -> PodNetworkResult?
    /// Nil when pods can be connected, else why not.
    func notReadyReason() async -> String?
    /// Sets the pod address range that `UpdateRuntimeConfig` brings, for configuration templates.
    func setPodCIDR(_ cidr: String) async throws
    /// Teardowns that have not succeeded yet: pod, attempts, last error.
    func pendingTeardowns() async -> [(pod: PodID, attempts: Int, lastError: String)]
}

extension ServiceKey where Interface == any PodNetwork {
    /// The pod network.
    public static var network: Self { Self("network") }
}
