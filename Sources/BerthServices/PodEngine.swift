public import BerthBase
public import BerthKernel

/// What changed, for those who watch.
public struct PodChange: Sendable, Hashable {
    /// What can happen to a pod's container, or (with `container` equal to the pod's ID) to the pod itself.
    public enum Kind: String, Sendable { case created, started, stopped, deleted }
    /// What happened.
    public var kind: Kind
    /// The namespace.
    public var namespace: NamespaceID
    /// The pod.
    public var pod: PodID
    /// The container; nil: it happened to the pod.
    public var container: ContainerID?
    /// When.
    public var at: Timestamp
    /// Makes a change.
    public init(_ kind: Kind, namespace: NamespaceID, pod: PodID, container: ContainerID?, at: Timestamp) {
        self.kind = kind
        self.namespace = namespace
        self.pod = pod
        self.container = container
        self.at = at
    }
}

/// Runs pods and their containers in any namespace; `rpc.cri` and `rpc.berth` are two ways to ask it.
///
/// A container lives in a pod; `berth run` makes a pod for each. The order is
/// `runPod` → `createContainer` → `startContainer` → `stopContainer` → `removeContainer` → `stopPod` → `removePod`.
/// An engine pulls nothing: the image must be there. Every verb that makes or ends something is an operation of the
/// `OperationTable`: a repeated call joins the one under way, and a caller that goes away does not undo it.
///
/// After a restart, a call about a pod waits for that pod's recovery and a list waits for all. IDs may be given as a
/// prefix that only one has, or (in namespaces other than `k8s.io`) as a container's or pod's name.
public protocol PodEngine: Sendable {
    /// Makes a pod: namespaces, network, shim.
    /// - Returns: its ID; the existing one's when a ready pod of the same identity has the same spec.
    /// - Throws: `alreadyExists` naming the ID when the identity is taken; `invalidArgument` and `unimplemented`
    ///   naming the field; what the network and the shim throw, with nothing left behind.
    func runPod(_ spec: PodSpec, in namespace: NamespaceID, caller: String) async throws -> PodID
    /// Kills its containers, releases its namespaces and network. A stopped or missing one is success.
    func stopPod(_ id: PodID, in namespace: NamespaceID) async throws
    /// Stops and removes the pod with all its containers. A missing one is success.
    func removePod(_ id: PodID, in namespace: NamespaceID) async throws
    /// - Throws: `notFound`; `invalidArgument` for an ambiguous prefix.
    func pod(_ id: PodID, in namespace: NamespaceID) async throws -> PodInfo
    /// All pods but those that are being made; `nil`: of every namespace.
    func pods(in namespace: NamespaceID?) async throws -> [PodInfo]

    /// Makes a container of an image that is here, not started.
    /// - Returns: its ID; the existing one's when a created container of the same identity has the same spec.
    /// - Throws: `notFound` for pod or image; `failedPrecondition` when the pod is not ready; `alreadyExists`.
    func createContainer(
        _ spec: ContainerSpec, pod: PodID, in namespace: NamespaceID, caller: String
    ) async throws -> ContainerID
    /// Starts a created container.
    /// - Throws: `failedPrecondition` when it is not in that state; the runtime's words for a bad command, the
    ///   container being `exited` with reason `StartError` then.
    func startContainer(_ id: ContainerID, in namespace: NamespaceID) async throws
    /// Sends the stop signal, after `timeout` SIGKILL; returns when it has ended. Ended or missing is success.
    func stopContainer(_ id: ContainerID, in namespace: NamespaceID, timeout: Duration) async throws
    /// Kills a running one, then removes container, root file system, status and the engine's own log. Missing is
    /// success.
    func removeContainer(_ id: ContainerID, in namespace: NamespaceID) async throws
    /// - Throws: `notFound`; `invalidArgument` for an ambiguous prefix.
    func container(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerInfo
    /// All containers; `nil`: of every namespace.
    func containers(in namespace: NamespaceID?) async throws -> [ContainerInfo]

    /// Waits until the container has ended. One that was never started is waited for.
    /// - Throws: `notFound`, also when it is removed meanwhile.
    func waitContainer(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerInfo
    /// Runs a command in a running container as the container's user, with its environment and directory, and
    /// collects its output (bounded); `timeout` nil or zero: none.
    func execSync(
        _ id: ContainerID, in namespace: NamespaceID, _ request: ExecRequest, timeout: Duration?
    ) async throws -> ExecResult
    /// Changes limits of a created or running container; what is not set stays.
    func updateContainer(_ id: ContainerID, in namespace: NamespaceID, resources: ResourceLimits) async throws
    /// Makes the shim open the log's file again, between two whole lines.
    func reopenLog(_ id: ContainerID, in namespace: NamespaceID) async throws
    /// The cgroup's metrics of a running container, as `TaskManager.stats`.
    func containerMetrics(_ id: ContainerID, in namespace: NamespaceID) async throws -> AnyMessage
    /// The pod cgroup's metrics, as `SandboxController.metrics`.
    func podMetrics(_ id: PodID, in namespace: NamespaceID) async throws -> AnyMessage
    /// Everything about one container or pod as a JSON document: spec, state, OCI spec, network, paths.
    func inspect(_ id: String, in namespace: NamespaceID) async throws -> [UInt8]

    /// A number that grows with every change of any pod or container; equal numbers mean equal lists.
    var revision: UInt64 { get }
    /// Changes from now on; one that falls too far behind is ended.
    func changes() async -> AsyncStream<PodChange>
    /// Waits until what was found at start has been adopted, undone or given up, each with a deadline.
    func recovered() async
    /// The names of the runtime handlers, the default first.
    var runtimeHandlers: [String] { get }
}

/// A command to run in a container.
public struct ExecRequest: Sendable, Hashable {
    /// The command and its arguments.
    public var command: [String]
    /// Variables beside the container's.
    public var environment: [EnvironmentVariable] = []
    /// The directory; empty: the container's.
    public var workingDirectory: String = ""
    /// `USER[:GROUP]`; empty: the container's.
    public var user: String = ""
    /// Makes a request.
    public init(_ command: [String]) { self.command = command }
}

extension ServiceKey where Interface == any PodEngine {
    /// The engine that runs pods.
    public static var pods: Self { Self("pods") }
}
