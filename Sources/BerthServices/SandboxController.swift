public import BerthBase
public import BerthKernel

/// What to make a sandbox from.
public struct SandboxRequest: Sendable {
    /// The sandbox.
    public var id: PodID
    /// Its namespace.
    public var namespace: NamespaceID
    /// The OCI spec without a process: hostname, namespaces, id maps, sysctls, cgroup path, resources. JSON.
    public var spec: [UInt8]
    /// The path of the network namespace; empty for the host's.
    public var netns: String
    /// The runtime handler's runtime, e.g. `io.containerd.berth.v1`.
    public var runtime: String
    /// The runtime's options.
    public var options: AnyMessage?
    /// Annotations of the pod.
    public var annotations: [String: String]
    /// Makes a request.
    public init(
        id: PodID, namespace: NamespaceID, spec: [UInt8], netns: String, runtime: String,
        annotations: [String: String] = [:]
    ) {
        self.id = id
        self.namespace = namespace
        self.spec = spec
        self.netns = netns
        self.runtime = runtime
        self.annotations = annotations
    }
}

/// What a controller knows of a sandbox.
public struct SandboxStatus: Sendable, Hashable {
    /// Whether containers can be created in it.
    public var ready: Bool
    /// A process on the host that stands for the sandbox.
    public var pid: UInt32
    /// When it was started.
    public var createdAt: Timestamp
    /// When it stopped, if it has.
    public var exitedAt: Timestamp?
    /// Why it is not ready, if it is known.
    public var reason: String
    /// Makes a status.
    public init(ready: Bool, pid: UInt32, createdAt: Timestamp, exitedAt: Timestamp? = nil, reason: String = "") {
        self.ready = ready
        self.pid = pid
        self.createdAt = createdAt
        self.exitedAt = exitedAt
        self.reason = reason
    }
}

/// Runs sandboxes: a shim a pod, with the namespaces and the cgroup that its containers share. Knows no CRI.
public protocol SandboxController: Sendable {
    /// Starts the shim and makes the sandbox ready.
    /// - Throws: `alreadyExists`; the shim's words, with its log's last lines, when it cannot start.
    func create(_ request: SandboxRequest) async throws -> SandboxStatus
    /// Kills what runs in it and lets go of its namespaces; the shim stays until `remove`. A missing one is success.
    func stop(_ id: PodID, in namespace: NamespaceID, timeout: Duration) async throws
    /// Ends the shim and removes the bundle and the cgroup. A missing one is success.
    func remove(_ id: PodID, in namespace: NamespaceID) async throws
    /// A shim that does not answer is not ready, with a reason.
    /// - Throws: `notFound`.
    func status(_ id: PodID, in namespace: NamespaceID) async throws -> SandboxStatus
    /// The pod cgroup's metrics message, v1 or v2 as the type URL says.
    func metrics(_ id: PodID, in namespace: NamespaceID) async throws -> AnyMessage
    /// Sandboxes whose shim ended or stopped answering, those of before the call included.
    func losses() async -> AsyncStream<(NamespaceID, PodID, SandboxStatus)>
    /// Waits until the shims found at start have answered, or their deadline has passed.
    func recovered() async
}

extension ServiceKey where Interface == any SandboxController {
    /// Sandbox controllers; several may run, each under its plugin's name.
    public static var sandbox: Self { Self("sandbox") }
}
