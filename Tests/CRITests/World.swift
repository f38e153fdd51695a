import BerthBase
import BerthGRPC
import BerthOCI
import BerthServices
import BerthStore
import BerthSystem
import BerthTestSupport
import Glibc
import Logging
import SwiftProtobuf
import SystemPackage
import Testing

@testable import CRIPlugins
@testable import MetadataPlugins

/// An engine over real rows and operations, and fakes of everything that touches the host. Outlives its engines, as
/// shims and disks outlive the daemon.
final class World: Sendable {
    let folder: TemporaryFolder
    let script = Script()
    let tasks: FakeTasks
    let sandboxes: FakeSandboxes
    let network: FakeNetwork
    let snapshots: FakeSnapshots
    let images: FakeImages
    let logger = Logger(label: "test")
    private let database = Shared<Database?>(nil)
    private let background = Shared<[Task<Void, Never>]>([])

    init() throws {
        folder = try TemporaryFolder("berth-cri")
        let tree = folder.path + "/tree"
        try Files.makeDirectories(tree + "/etc", mode: 0o755)
        try Files.replace(
            tree + "/etc/passwd",
            with: Array("root:x:0:0::/root:/bin/sh\nada:x:1000:1001::/:/bin/sh\n1000000:x:0:0::/:/bin/sh\n".utf8),
            mode: 0o644)
        try Files.replace(
            tree + "/etc/group", with: Array("root:x:0:\nada:x:1001:\naudio:x:29:ada\nwheel:x:10:root,ada\n".utf8),
            mode: 0o644)
        tasks = FakeTasks(script)
        sandboxes = FakeSandboxes(script)
        network = FakeNetwork(script)
        snapshots = FakeSnapshots(script, tree: tree)
        images = FakeImages(script)
    }

    static let facts: HostFacts = {
        var facts = HostFacts()
        facts.cgroupV2 = false
        facts.capabilities = CapabilityChoice.defaults + ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]
        facts.knownCapabilities = Set(facts.capabilities + ["CAP_SYS_TIME", "CAP_SYS_RESOURCE"])
        facts.hostname = "node-1"
        facts.hugepageSizes = ["2MB"]
        return facts
    }()

    /// Starts an engine as the plugin does, over whatever rows there are.
    func engine() async throws -> LocalPodEngine {
        let database = try Database(path: folder.path + "/berth.db", logger: logger)
        self.database.withLock { $0 = database }
        try await database.migrate("metadata.sqlite", RecordTable.migrations)
        let operations = JoiningOperationTable(
            config: OperationsConfig(), clock: ContinuousClock(), logger: logger)
        let services = EngineServices(
            metadata: SQLiteMetadata(database: database), snapshots: snapshots, images: images, tasks: tasks,
            sandboxes: ["pod": sandboxes], network: network, operations: operations)
        let engine = LocalPodEngine(
            services: services, config: PodsConfig(), facts: Self.facts, root: FilePath(folder.path + "/root"),
            state: FilePath(folder.path + "/state"), logger: logger)
        let (exits, losses) = (await tasks.exits(), await sandboxes.losses())
        try await engine.recover()
        background.withLock { tasks in
            tasks = [Task { await engine.followExits(exits) }, Task { await engine.followLosses(losses) }]
        }
        return engine
    }

    /// Ends the engine's database, as the daemon's end does.
    func close() async {
        let database = database.withLock { database in
            defer { database = nil }
            return database
        }
        for task in background.withLock({ $0 }) { task.cancel() }
        await database?.close()
    }

    func with<T: Sendable>(_ body: @Sendable (LocalPodEngine) async throws -> T) async throws -> T {
        let engine = try await engine()
        do {
            let value = try await body(engine)
            try await unmount(engine)
            await close()
            return value
        } catch {
            try? await unmount(engine)
            await close()
            throw error
        }
    }

    /// Shared memory of pods that a test leaves.
    private func unmount(_ engine: LocalPodEngine) async throws {
        for row in engine.table.pods(in: nil) { try? Mounts.detach(engine.files.paths(of: row.id).sharedMemory) }
    }

    func rpc(_ engine: LocalPodEngine) -> RuntimeRPC {
        RuntimeRPC(
            engine: engine, network: network, operations: engine.services.operations, usage: usage(engine),
            version: "test", logger: logger)
    }

    private func usage(_ engine: LocalPodEngine) -> StorageUsage {
        StorageUsage(
            metadata: engine.services.metadata, snapshots: snapshots, snapshotter: "overlay", mountpoint: "/x")
    }

    func imageRPC(_ engine: LocalPodEngine) -> ImageRPC {
        ImageRPC(
            engine: engine, images: images, operations: engine.services.operations,
            usage: usage(engine), snapshotter: "overlay")
    }
}

extension GRPCService {
    /// Calls a method as the server would.
    func call<Request: Message, Response: Message>(_ method: String, _ request: Request) async throws -> Response {
        let handler = try #require(methods.first { $0.name == method }, "no method \(method)").handler
        let call = GRPCCall(path: "/\(name)/\(method)")
        guard case .unary(let body) = handler else { throw BerthError(.unimplemented, "\(method) is a stream") }
        return try Response(serializedBytes: await body(try request.serializedBytes(), call))
    }
}

/// The code of what a body throws; nil when it throws nothing.
func code(_ body: () async throws -> Void) async -> BerthError.Code? {
    do {
        try await body()
        return nil
    } catch { return BerthError.wrapping(error).code }
}

extension PodSpec {
    static func test(_ name: String = "web", _ change: (inout PodSpec) -> Void = { _ in }) -> PodSpec {
        var spec = PodSpec(name: name)
        (spec.uid, spec.group) = ("u-1", "default")
        change(&spec)
        return spec
    }
}

extension ContainerSpec {
    static func test(_ name: String = "app", _ change: (inout ContainerSpec) -> Void = { _ in }) -> ContainerSpec {
        var spec = ContainerSpec(name: name, image: "busybox")
        change(&spec)
        return spec
    }
}

func symlinkTree(_ path: String, to target: String) -> Bool { symlink(target, path) == 0 }
