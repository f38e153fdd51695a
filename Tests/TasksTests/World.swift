import BerthBase
import BerthIO
import BerthOCI
import BerthServices
import BerthShimAPI
import BerthShimClient
import BerthSystem
import BerthTTRPC
import BerthTestSupport
import Glibc
import Logging
import SandboxPlugins
import Synchronization
import SystemPackage
import TasksPlugins
import Testing

/// A bus that keeps what was published.
final class KeptEvents: EventBus {
    private let kept = Shared<[EventEnvelope]>([])
    func publish(_ event: EventEnvelope) async { kept.withLock { $0.append(event) } }
    func subscribe(after sequence: UInt64?) async -> AsyncThrowingStream<EventEnvelope, any Error> {
        AsyncThrowingStream { $0.finish() }
    }
    var topics: [String] { kept.withLock { $0.map(\.topic) } }
}

/// The daemon's part that runs tasks, in one state directory; it can be ended and made again as a restart does.
final class TaskDaemon: Sendable {
    let shims: ShimRegistry
    let tasks: ShimTaskManager
    let sandboxes: PodSandboxController
    private let server: TTRPCServer
    private let accepting: Task<Void, any Error>

    init(_ state: String, _ events: any EventBus) async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let loop = try EventLoop.ofProcess()
        shims = try ShimRegistry(
            in: state, grpcAddress: state + "/none.sock", publisher: "/bin/true", loop: loop, logger: logger)
        await shims.recover()
        tasks = ShimTaskManager(shims, logger: logger)
        await tasks.adopt()
        sandboxes = PodSandboxController(shims, logger: logger)
        let forwarding = ShimEvents(shims: shims, events: events, logger: logger)
        let server = try TTRPCServer(
            at: shims.eventsPath, on: loop,
            methods: ["\(EventsService.name)/\(EventsService.forward)": { try await forwarding.forward($0) }])
        self.server = server
        accepting = Task { try await server.run() }
    }

    /// As the end of the daemon's process: shims are let go of and go on.
    func end() async {
        await tasks.close()
        await shims.close()
        server.close()
        accepting.cancel()
        _ = await accepting.result
    }
}

/// A state directory, a root file system of busybox, and names that no other test uses.
final class World: Sendable {
    static let ownRuntime = "io.containerd.berth.v1"
    static let foreignRuntime = "io.containerd.runc.v2"
    private static let counter = Atomic<Int>(0)
    /// `berth-init`, compiled once; shims find it by the environment.
    private static let initProgram: Bool = {
        guard getenv("BERTH_INIT") == nil else { return true }
        let path = "/tmp/berth-tasks-init.\(getpid())"
        let package = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        let command = ChildProcess.Command(
            package.appending("scripts/build-init").string, [path], environment: ["PATH=/usr/bin:/bin"],
            deadline: .seconds(60))
        guard (try? ChildProcess.run(command))?.status == 0 else { return false }
        setenv("BERTH_INIT", path, 1)
        return true
    }()

    let folder: TemporaryFolder
    let events = KeptEvents()
    /// The cgroup that everything of this world is below.
    let cgroup: String
    let namespace: NamespaceID
    private let current = Shared<TaskDaemon?>(nil)

    init() async throws {
        try #require(Self.initProgram, "scripts/build-init failed")
        folder = try TemporaryFolder("bt")
        let number = World.counter.add(1, ordering: .relaxed).newValue
        cgroup = "/berth-tasks-\(getpid())-\(number)"
        namespace = NamespaceID("t\(getpid())-\(number)")
        try Files.makeDirectories(folder.path + "/rootfs/bin", mode: 0o755)
        let busybox = try Files.read("/bin/busybox")
        try Files.replace(folder.path + "/rootfs/bin/busybox", with: busybox, mode: 0o755)
        for name in ["sh", "cat", "ls", "sleep", "true", "echo", "kill", "hostname", "seq", "readlink"] {
            symlink("busybox", folder.path + "/rootfs/bin/" + name)
        }
        let daemon = try await TaskDaemon(folder.path + "/state", events)
        current.withLock { $0 = daemon }
    }

    var daemon: TaskDaemon {
        get throws { try #require(current.withLock { $0 }) }
    }
    var tasks: ShimTaskManager { get throws { try daemon.tasks } }
    var sandboxes: PodSandboxController { get throws { try daemon.sandboxes } }

    /// Ends the daemon.
    func stop() async {
        let daemon = current.withLock { current in
            defer { current = nil }
            return current
        }
        await daemon?.end()
    }

    /// Begins its next life.
    func start() async throws {
        let daemon = try await TaskDaemon(folder.path + "/state", events)
        current.withLock { $0 = daemon }
    }

    /// Ends the daemon and sees that nothing is left.
    func finish(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        await stop()
        let state = folder.path + "/state"
        let bundles = (try? Files.names(in: state + "/bundles/\(namespace)")) ?? []
        #expect(bundles.isEmpty, "bundles are left", sourceLocation: sourceLocation)
        #expect(try Files.names(in: state + "/s").isEmpty, "sockets are left", sourceLocation: sourceLocation)
        let mounts = try MountInfo.current().filter { $0.mountPoint.hasPrefix(folder.path) }
        #expect(mounts.isEmpty, "mounts are left", sourceLocation: sourceLocation)
        for _ in 0..<2000 where !processes().isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        #expect(processes().isEmpty, "processes are left", sourceLocation: sourceLocation)
        let parent = Cgroup(host: try CgroupHost.current(), path: cgroup)
        for directory in parent.directories {
            let children = ((try? Files.names(in: directory)) ?? []).filter {
                (try? Files.status("\(directory)/\($0)").isDirectory) == true
            }
            #expect(children.isEmpty, "cgroups are left in \(directory)", sourceLocation: sourceLocation)
        }
        try parent.remove()
        // runc makes the path in the v2 tree of a hybrid host too, and leaves its upper part.
        rmdir("/sys/fs/cgroup/unified" + cgroup)
    }

    /// The processes whose command line names this world: its shims.
    func processes() -> [Int32] {
        let pids = ((try? Files.names(in: "/proc")) ?? []).compactMap { Int32($0) }
        return pids.filter { pid in
            let line = (try? Files.read("/proc/\(pid)/cmdline", limit: 65536)) ?? []
            let text = String(decoding: line, as: UTF8.self)
            return text.contains("containerd-shim") && text.contains(namespace.rawValue)
        }
    }

    func ref(_ name: String) -> TaskRef { TaskRef(namespace, ContainerID(name)) }

    /// A spec that runs a shell command in a cgroup of this world.
    func spec(_ name: String, _ script: String, _ change: (inout OCISpec) -> Void = { _ in }) throws -> [UInt8] {
        var spec = OCISpec.example()
        spec.process?.terminal = false
        spec.process?.args = ["sh", "-c", script]
        spec.root?.readonly = false
        spec.linux?.cgroupsPath = "\(cgroup)/\(name)"
        change(&spec)
        return try spec.json()
    }

    func request(
        _ name: String, _ script: String, runtime: String, stdio: TaskStdio = TaskStdio(), sandbox: PodID? = nil,
        _ change: (inout OCISpec) -> Void = { _ in }
    ) throws -> TaskRequest {
        let rootfs = Mount(type: "bind", source: folder.path + "/rootfs", options: ["rbind", "rw"])
        return TaskRequest(
            spec: try spec(name, script, change), rootfs: [rootfs], stdio: stdio, sandbox: sandbox, runtime: runtime)
    }

    /// An OCI process for an exec.
    func process(_ script: String) throws -> [UInt8] {
        var process = OCIProcess(args: ["sh", "-c", script], env: ["PATH=/bin"])
        process.terminal = false
        process.cwd = "/"
        process.user = OCIUser()
        return try OCIJSON.encode(process)
    }

    func file(_ name: String) -> String {
        (try? Files.read(folder.path + "/" + name, limit: 1 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

func code(_ body: () async throws -> Void) async -> BerthError.Code? {
    do {
        try await body()
        return nil
    } catch { return BerthError.wrapping(error).code }
}

func message(_ body: () async throws -> Void) async -> String {
    do { try await body() } catch { return "\(error)" }
    return "no error"
}

/// Root, and for foreign shims Debian's.
let isRoot = geteuid() == 0
let hasRuncShim = access("/usr/bin/containerd-shim-runc-v2", X_OK) == 0 && access("/usr/bin/runc", X_OK) == 0

@Suite(.enabled(if: isRoot, "containers need root"), .serialized)
struct TasksTests {}
