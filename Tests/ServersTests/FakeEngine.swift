import BerthBase
import BerthServices

/// Pods and containers that only exist as records.
actor FakeEngine: PodEngine {
    private(set) var pods: [PodID: PodInfo] = [:]
    private(set) var all: [ContainerID: ContainerInfo] = [:]
    private(set) var calls: [String] = []
    private var waiters: [ContainerID: [CheckedContinuation<Void, Never>]] = [:]
    private var watchers: [AsyncStream<PodChange>.Continuation] = []
    private var failure: BerthError?
    private var count = 0

    nonisolated var revision: UInt64 { 0 }
    nonisolated var runtimeHandlers: [String] { ["berth"] }

    func failNextStart(_ error: BerthError) { failure = error }

    func setLog(_ path: String, of id: ContainerID) { all[id]?.logPath = path }

    /// The container ends by itself.
    func exit(_ id: ContainerID, _ code: Int32) {
        guard var info = all[id] else { return }
        info.state = .exited
        info.exitCode = code
        info.finishedAt = .now()
        all[id] = info
        for waiter in waiters.removeValue(forKey: id) ?? [] { waiter.resume() }
        for watcher in watchers {
            watcher.yield(PodChange(.stopped, namespace: info.namespace, pod: info.pod, container: id, at: .now()))
        }
    }

    func runPod(_ spec: PodSpec, in namespace: NamespaceID, caller: String) async throws -> PodID {
        count += 1
        let id = PodID("p\(count)" + String(repeating: "0", count: 20))
        pods[id] = PodInfo(id: id, namespace: namespace, spec: spec, state: .ready, reason: "", createdAt: .now())
        pods[id]?.addresses = ["10.0.0.\(count)"]
        return id
    }
    func stopPod(_ id: PodID, in namespace: NamespaceID) async throws {
        calls.append("stopPod")
        pods[id]?.state = .notReady
    }
    func removePod(_ id: PodID, in namespace: NamespaceID) async throws {
        calls.append("removePod")
        pods[id] = nil
        for (key, info) in all where info.pod == id {
            all[key] = nil
            for waiter in waiters.removeValue(forKey: key) ?? [] { waiter.resume() }
        }
    }
    func pod(_ id: PodID, in namespace: NamespaceID) async throws -> PodInfo {
        guard let pod = pods[id] else { throw BerthError(.notFound, "pod '\(id)'") }
        return pod
    }
    func pods(in namespace: NamespaceID?) async throws -> [PodInfo] {
        pods.values.filter { namespace == nil || $0.namespace == namespace }
    }

    func createContainer(
        _ spec: ContainerSpec, pod: PodID, in namespace: NamespaceID, caller: String
    ) async throws -> ContainerID {
        count += 1
        let id = ContainerID("c\(count)" + String(repeating: "0", count: 20))
        all[id] = ContainerInfo(id: id, pod: pod, namespace: namespace, spec: spec, state: .created, createdAt: .now())
        return id
    }
    func startContainer(_ id: ContainerID, in namespace: NamespaceID) async throws {
        if let failure { throw failure }
        all[id]?.state = .running
        all[id]?.startedAt = .now()
    }
    func stopContainer(_ id: ContainerID, in namespace: NamespaceID, timeout: Duration) async throws {
        calls.append("stop \(timeout)")
        exit(id, 143)
    }
    func removeContainer(_ id: ContainerID, in namespace: NamespaceID) async throws {
        calls.append("removeContainer")
        all[id] = nil
    }
    func container(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerInfo {
        guard let info = all[id] else { throw BerthError(.notFound, "container '\(id)'") }
        return info
    }
    func containers(in namespace: NamespaceID?) async throws -> [ContainerInfo] {
        all.values.filter { namespace == nil || $0.namespace == namespace }
    }
    func waitContainer(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerInfo {
        if try await container(id, in: namespace).state != .exited {
            await withCheckedContinuation { waiters[id, default: []].append($0) }
        }
        return try await container(id, in: namespace)
    }
    func execSync(
        _ id: ContainerID, in namespace: NamespaceID, _ request: ExecRequest, timeout: Duration?
    ) async throws -> ExecResult {
        let variables = request.environment.map { "\($0.name)=\($0.value)" }
        let text = ([request.user, request.workingDirectory] + variables + request.command).joined(separator: " ")
        return ExecResult(stdout: Array(text.utf8), stderr: [7], exitCode: timeout == nil ? 0 : 3)
    }
    func updateContainer(_ id: ContainerID, in namespace: NamespaceID, resources: ResourceLimits) async throws {}
    func reopenLog(_ id: ContainerID, in namespace: NamespaceID) async throws {}
    func containerMetrics(_ id: ContainerID, in namespace: NamespaceID) async throws -> AnyMessage {
        throw BerthError(.unimplemented, "a fake")
    }
    func podMetrics(_ id: PodID, in namespace: NamespaceID) async throws -> AnyMessage {
        throw BerthError(.unimplemented, "a fake")
    }
    func inspect(_ id: String, in namespace: NamespaceID) async throws -> [UInt8] { Array("{\"id\":\"\(id)\"}".utf8) }
    func changes() async -> AsyncStream<PodChange> {
        let (stream, continuation) = AsyncStream<PodChange>.makeStream()
        watchers.append(continuation)
        return stream
    }
    func recovered() async {}
}

/// Images by name, and a pull that tells what it does.
actor FakeImages: ImageService {
    private var names: Set<String> = []

    private func info(_ name: String) throws -> ImageInfo {
        let digest = try Digest("sha256:" + String(repeating: "a", count: 64))
        let target = Descriptor(mediaType: "m", digest: digest, size: 1)
        return ImageInfo(
            names: [name], target: target, manifest: target, id: digest,
            platform: Platform(architecture: "amd64", os: "linux"), size: 1000, config: Array("{}".utf8), diffIDs: [],
            chainID: nil, labels: [:], createdAt: .now())
    }

    func pull(_ request: PullRequest, progress: @escaping @Sendable (PullProgress) -> Void) async throws -> ImageInfo {
        progress(PullProgress(stage: "resolving"))
        if request.reference.contains("missing") {
            throw BerthError(.notFound, "pull '\(request.reference)': the registry does not have it")
        }
        names.insert(try normalize(request.reference))
        return try info(try normalize(request.reference))
    }
    func resolve(_ nameOrID: String, in namespace: NamespaceID) async throws -> ImageInfo {
        let name = try normalize(nameOrID)
        guard names.contains(name) else { throw BerthError(.notFound, "image '\(name)' not found") }
        return try info(name)
    }
    func list(in namespace: NamespaceID) async throws -> [ImageInfo] { try names.sorted().map(info) }
    func remove(_ nameOrID: String, in namespace: NamespaceID) async throws -> [String] {
        let name = try normalize(nameOrID)
        return names.remove(name).map { [$0] } ?? []
    }
    func unpack(_ image: ImageInfo, snapshotter: String, in namespace: NamespaceID) async throws -> SnapshotKey? { nil }
    nonisolated func normalize(_ reference: String) throws -> String {
        guard !reference.isEmpty else { throw BerthError(.invalidArgument, "an empty reference") }
        return reference.contains("/") ? reference : "docker.io/library/\(reference)"
    }
}

/// Runs bodies as they come.
struct FakeOperations: OperationTable {
    private struct Stage: OperationStage { func enter(_ stage: String, waitingFor: String) {} }
    func run<T: Sendable>(
        _ key: OperationKey, deadline: Duration, abandon: (@Sendable (T) async -> Void)?,
        _ body: @escaping @Sendable (any OperationStage) async throws -> T
    ) async throws -> T { try await body(Stage()) }
    func list() async -> [OperationInfo] {
        [
            OperationInfo(
                id: 7, kind: "PullImage", subject: "x", caller: "me", stage: "fetching", waitingFor: "1 layer",
                startedAt: .now(), waiters: 1)
        ]
    }
}
