import BerthBase
import BerthServices
import BerthShimAPI
import BerthTestSupport
import SystemPackage

/// What the fakes were asked, and what they are to refuse.
final class Script: Sendable {
    private struct State {
        var calls: [String] = []
        var failures: [String: BerthError] = [:]
        var holds: [String: [CheckedContinuation<Void, Never>]] = [:]
        var held: Set<String> = []
    }
    private let state = Shared(State())

    /// Everything asked so far.
    var calls: [String] { state.withLock { $0.calls } }

    func count(_ call: String) -> Int { calls.count { $0 == call } }

    /// Makes the next calls of this name fail.
    func fail(_ call: String, _ error: BerthError? = BerthError(.internal, "as the test wants")) {
        state.withLock { $0.failures[call] = error }
    }

    /// Makes calls of this name wait until `release`.
    func hold(_ call: String) { state.withLock { _ = $0.held.insert(call) } }

    func release(_ call: String) {
        let waiting = state.withLock { state in
            state.held.remove(call)
            return state.holds.removeValue(forKey: call) ?? []
        }
        for continuation in waiting { continuation.resume() }
    }

    func record(_ call: String) async throws {
        let failure = state.withLock { state in
            state.calls.append(call)
            return state.failures[call]
        }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let waits = state.withLock { state -> Bool in
                guard state.held.contains(call) else { return false }
                state.holds[call, default: []].append(continuation)
                return true
            }
            if !waits { continuation.resume() }
        }
        if let failure { throw failure }
    }

    /// Waits until a call was made.
    func made(_ call: String) async {
        while !calls.contains(call) { await Task.yield() }
    }
}

/// Tasks that are rows of a dictionary; shims that survive the engine.
final class FakeTasks: TaskManager {
    struct Row: Sendable {
        var info: TaskInfo
        var request: TaskRequest
    }
    let script: Script
    let rows = Shared<[TaskRef: Row]>([:])
    let lastProcess = Shared<[UInt8]>([])
    let lastResources = Shared<[UInt8]>([])
    /// Signals that end a task; the others are only written down.
    let deadly = Shared<Set<Int32>>([9, 15])
    private let stream: AsyncStream<(TaskRef, ExitStatus)>
    private let continuation: AsyncStream<(TaskRef, ExitStatus)>.Continuation

    init(_ script: Script) {
        self.script = script
        (stream, continuation) = AsyncStream.makeStream()
    }

    func row(_ ref: TaskRef) throws -> Row {
        guard let row = rows.withLock({ $0[ref] }) else {
            throw BerthError(.notFound, "there is no task '\(ref.container)'")
        }
        return row
    }

    /// Ends a task as its process would; without `told` the engine does not hear of it.
    func end(_ ref: TaskRef, code: UInt32, oom: Bool = false, told: Bool = true, at time: Timestamp = .now()) {
        let exit = ExitStatus(code: code, exitedAt: time, oomKilled: oom)
        rows.withLock { $0[ref]?.info = TaskInfo(state: .stopped, pid: 0, exit: exit) }
        if told { continuation.yield((ref, exit)) }
    }

    func create(_ ref: TaskRef, _ request: TaskRequest) async throws -> TaskInfo {
        try await script.record("task.create")
        let info = TaskInfo(state: .created, pid: 4711, exit: nil)
        rows.withLock { $0[ref] = Row(info: info, request: request) }
        return info
    }
    func start(_ ref: TaskRef) async throws -> TaskInfo {
        try await script.record("task.start")
        let info = TaskInfo(state: .running, pid: 4711, exit: nil)
        rows.withLock { $0[ref]?.info = info }
        return info
    }
    func info(_ ref: TaskRef) async throws -> TaskInfo {
        try await script.record("task.info")
        return try row(ref).info
    }
    func wait(_ ref: TaskRef) async throws -> ExitStatus {
        guard let exit = try row(ref).info.exit else { throw BerthError(.unavailable, "runs") }
        return exit
    }
    func kill(_ ref: TaskRef, signal: Int32, all: Bool) async throws {
        try await script.record("task.kill \(signal)")
        guard try row(ref).info.state != .stopped else { throw BerthError(.notFound, "the process has ended") }
        if deadly.withLock({ $0.contains(signal) }) { end(ref, code: 128 + UInt32(signal)) }
    }
    func delete(_ ref: TaskRef, force: Bool) async throws -> ExitStatus? {
        try await script.record("task.delete")
        return rows.withLock { $0.removeValue(forKey: ref) }?.info.exit
    }
    func pause(_ ref: TaskRef) async throws {}
    func resume(_ ref: TaskRef) async throws {}
    func execSync(_ ref: TaskRef, process: [UInt8], timeout: Duration?, limit: Int) async throws -> ExecResult {
        try await script.record("task.execSync")
        lastProcess.withLock { $0 = process }
        return ExecResult(stdout: Array("out".utf8), stderr: Array("err".utf8), exitCode: 3)
    }
    func exec(_ ref: TaskRef, execID: String, process: [UInt8], stdio: TaskStdio) async throws -> UInt32 { 1 }
    func waitExec(_ ref: TaskRef, execID: String) async throws -> ExitStatus { ExitStatus(code: 0, exitedAt: .now()) }
    func killExec(_ ref: TaskRef, execID: String, signal: Int32) async throws {}
    func resize(_ ref: TaskRef, execID: String?, width: UInt32, height: UInt32) async throws {}
    func closeStdin(_ ref: TaskRef, execID: String?) async throws {}
    func update(_ ref: TaskRef, resources: [UInt8]) async throws {
        try await script.record("task.update")
        lastResources.withLock { $0 = resources }
    }
    func stats(_ ref: TaskRef) async throws -> AnyMessage {
        try await script.record("task.stats")
        var metrics = CgroupV1Metrics()
        var (cpu, usage) = (CgroupV1CPUStat(), CgroupV1CPUUsage())
        usage.total = 5_000_000
        cpu.usage = usage
        metrics.cpu = cpu
        var (memory, entry) = (CgroupV1MemoryStat(), CgroupV1MemoryEntry())
        (entry.usage, entry.limit) = (1000, 4000)
        (memory.usage, memory.totalInactiveFile, memory.totalRss) = (entry, 300, 600)
        metrics.memory = memory
        return AnyMessage(typeURL: CgroupV1Metrics.messageName, value: metrics.encoded())
    }
    func pids(_ ref: TaskRef) async throws -> [UInt32] { [4711] }
    func reopenLog(_ ref: TaskRef) async throws { try await script.record("task.reopenLog") }
    func exits() async -> AsyncStream<(TaskRef, ExitStatus)> { stream }
    func recovered() async { try? await script.record("task.recovered") }
}

/// Sandboxes that are entries of a dictionary.
final class FakeSandboxes: SandboxController {
    let script: Script
    let rows = Shared<[PodID: (SandboxRequest, SandboxStatus)]>([:])
    private let stream: AsyncStream<(NamespaceID, PodID, SandboxStatus)>
    private let continuation: AsyncStream<(NamespaceID, PodID, SandboxStatus)>.Continuation

    init(_ script: Script) {
        self.script = script
        (stream, continuation) = AsyncStream.makeStream()
    }

    func lose(_ id: PodID, in namespace: NamespaceID, reason: String) {
        let status = SandboxStatus(ready: false, pid: 0, createdAt: .now(), exitedAt: .now(), reason: reason)
        rows.withLock { rows in if let row = rows[id] { rows[id] = (row.0, status) } }
        continuation.yield((namespace, id, status))
    }

    func create(_ request: SandboxRequest) async throws -> SandboxStatus {
        try await script.record("sandbox.create")
        let status = SandboxStatus(ready: true, pid: 42, createdAt: .now())
        rows.withLock { $0[request.id] = (request, status) }
        return status
    }
    func stop(_ id: PodID, in namespace: NamespaceID, timeout: Duration) async throws {
        try await script.record("sandbox.stop")
    }
    func remove(_ id: PodID, in namespace: NamespaceID) async throws {
        try await script.record("sandbox.remove")
        rows.withLock { $0[id] = nil }
    }
    func status(_ id: PodID, in namespace: NamespaceID) async throws -> SandboxStatus {
        try await script.record("sandbox.status")
        guard let row = rows.withLock({ $0[id] }) else { throw BerthError(.notFound, "there is no sandbox '\(id)'") }
        return row.1
    }
    func metrics(_ id: PodID, in namespace: NamespaceID) async throws -> AnyMessage {
        AnyMessage(typeURL: "x", value: [])
    }
    func losses() async -> AsyncStream<(NamespaceID, PodID, SandboxStatus)> { stream }
    func recovered() async { try? await script.record("sandbox.recovered") }
}

/// A network that gives every pod one address.
final class FakeNetwork: PodNetwork {
    let script: Script
    let attached = Shared<[PodID: PodNetworkRequest]>([:])
    let cidr = Shared("")
    let notReady = Shared<String?>(nil)

    init(_ script: Script) { self.script = script }

    func makeUserNamespace(pod: PodID, uids: [IDMapping], gids: [IDMapping]) async throws -> FilePath {
        try await script.record("network.userns")
        return "/run/netns/user"
    }
    func makeNamespace(pod: PodID, userns: FilePath?) async throws -> FilePath {
        try await script.record("network.netns")
        return FilePath("/run/netns/berth-\(pod)")
    }
    func attach(_ request: PodNetworkRequest) async throws -> PodNetworkResult {
        try await script.record("network.attach")
        attached.withLock { $0[request.pod] = request }
        return PodNetworkResult(addresses: ["10.1.2.3", "fd00::3"], raw: Array(#"{"ips":[]}"#.utf8))
    }
    func detach(pod: PodID, patience: Duration) async throws {
        try await script.record("network.detach")
        attached.withLock { $0[pod] = nil }
    }
    func check(pod: PodID) async throws {}
    func result(pod: PodID) async throws -> PodNetworkResult? { nil }
    func notReadyReason() async -> String? { notReady.withLock { $0 } }
    func setPodCIDR(_ cidr: String) async throws { self.cidr.withLock { $0 = cidr } }
    func pendingTeardowns() async -> [(pod: PodID, attempts: Int, lastError: String)] { [] }
}

/// Snapshots that are directories; each shows the tree that the test made for the image.
final class FakeSnapshots: SnapshotService {
    let script: Script
    let tree: String
    let keys = Shared<Set<SnapshotKey>>([])

    init(_ script: Script, tree: String) {
        self.script = script
        self.tree = tree
    }

    var snapshotters: [String] { ["overlay"] }
    func driver(_ snapshotter: String) throws -> any Snapshotter { throw BerthError(.notFound, "there is no driver") }
    private var mount: [Mount] { [Mount(type: "bind", source: tree, options: ["rw", "rbind"])] }

    func prepare(
        _ key: SnapshotKey, parent: SnapshotKey?, readOnly: Bool, on target: SnapshotTarget
    ) async throws -> [Mount] {
        try await script.record("snapshot.prepare")
        keys.withLock { _ = $0.insert(key) }
        return mount
    }
    func mounts(of key: SnapshotKey, on target: SnapshotTarget) async throws -> [Mount] {
        try await script.record("snapshot.mounts")
        return mount
    }
    func commit(_ name: SnapshotKey, from key: SnapshotKey, on target: SnapshotTarget) async throws {}
    func remove(_ key: SnapshotKey, on target: SnapshotTarget) async throws {
        try await script.record("snapshot.remove")
        guard keys.withLock({ $0.remove(key) }) != nil else {
            throw BerthError(.notFound, "there is no snapshot '\(key)'")
        }
    }
    func stat(_ key: SnapshotKey, on target: SnapshotTarget) async throws -> SnapshotInfo {
        SnapshotInfo(key: key, parent: nil, kind: .active, labels: [:], createdAt: .now(), updatedAt: .now())
    }
    func usage(of key: SnapshotKey, on target: SnapshotTarget) async throws -> SnapshotUsage {
        SnapshotUsage(inodes: 2, size: 4096)
    }
    func makeDurable(_ name: SnapshotKey, on target: SnapshotTarget) async throws {}
}

/// One image with the config that the test wants.
final class FakeImages: ImageService {
    let script: Script
    let config = Shared(#"{"config":{"Cmd":["sh"],"Env":["PATH=/bin","A=image"]}}"#)
    let lastPull = Shared<PullRequest?>(nil)

    init(_ script: Script) { self.script = script }

    func info() throws -> ImageInfo {
        let digest = try Digest("sha256:" + String(repeating: "a", count: 64))
        let descriptor = Descriptor(mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digest, size: 7)
        return ImageInfo(
            names: ["docker.io/library/busybox:latest"], target: descriptor, manifest: descriptor,
            id: try Digest("sha256:" + String(repeating: "b", count: 64)),
            platform: Platform(architecture: "amd64", os: "linux"), size: 700,
            config: Array(config.withLock { $0 }.utf8), diffIDs: [], chainID: digest, labels: [:], createdAt: .now())
    }
    func pull(_ request: PullRequest, progress: @escaping @Sendable (PullProgress) -> Void) async throws -> ImageInfo {
        try await script.record("image.pull")
        lastPull.withLock { $0 = request }
        progress(PullProgress(stage: "done"))
        return try info()
    }
    func resolve(_ nameOrID: String, in namespace: NamespaceID) async throws -> ImageInfo {
        try await script.record("image.resolve")
        guard nameOrID.contains("busybox") || nameOrID.hasPrefix("sha256:b") else {
            throw BerthError(.notFound, "there is no image '\(nameOrID)'")
        }
        return try info()
    }
    func list(in namespace: NamespaceID) async throws -> [ImageInfo] { [try info()] }
    func remove(_ nameOrID: String, in namespace: NamespaceID) async throws -> [String] {
        try await script.record("image.remove")
        return []
    }
    func unpack(_ image: ImageInfo, snapshotter: String, in namespace: NamespaceID) async throws -> SnapshotKey? {
        try await script.record("image.unpack")
        return "chain"
    }
    func normalize(_ reference: String) throws -> String { reference }
}
