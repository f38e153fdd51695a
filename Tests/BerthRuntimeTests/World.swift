import BerthBase
import BerthOCI
import BerthRuntime
import BerthSystem
import Glibc
import Synchronization
import SystemPackage
import Testing

/// A world of one test: a folder with a root file system of busybox, a state root, and cgroups named after it.
final class World: Sendable {
    let folder: String
    let environment: RuntimeEnvironment
    private static let counter = Atomic<Int>(0)

    /// `berth-init`, compiled once for the run by the script that ships it.
    private static let initPath: FilePath = {
        let path = "/tmp/runtime-test-init.\(getpid())"
        let package = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        let command = ChildProcess.Command(
            package.appending("scripts/build-init").string, [path], environment: ["PATH=/usr/bin:/bin"],
            deadline: .seconds(60))
        let outcome = try? ChildProcess.run(command)
        precondition(
            outcome?.status == 0, "build-init failed: \(String(decoding: outcome?.errors ?? [], as: UTF8.self))")
        return FilePath(path)
    }()

    init() throws {
        let number = World.counter.add(1, ordering: .relaxed).newValue
        folder = "/tmp/runtime-test-\(getpid())-\(number)"
        environment = RuntimeEnvironment(stateRoot: FilePath(folder + "/state"), initPath: World.initPath)
        try Files.makeDirectories(folder + "/bundle/rootfs/bin", mode: 0o755)
        let busybox = try Files.read("/bin/busybox")
        try Files.replace(folder + "/bundle/rootfs/bin/busybox", with: busybox, mode: 0o755)
        for name in [
            "sh", "cat", "ls", "id", "sleep", "true", "touch", "mkdir", "grep", "echo", "stat", "ps", "chmod", "cut",
        ] {
            symlink("busybox", rootfs + "/bin/" + name)
        }
    }

    deinit {
        let command = ChildProcess.Command("/bin/rm", ["-rf", folder], deadline: .seconds(20))
        _ = try? ChildProcess.run(command)
    }

    var rootfs: String { folder + "/bundle/rootfs" }
    /// The name of the one container, and of its cgroup.
    var id: String { "rt-\(getpid())-" + (folder.split(separator: "-").last.map(String.init) ?? "") }

    /// A specification of a shell command in all new namespaces.
    func spec(_ script: String) -> OCISpec {
        var spec = OCISpec.example()
        spec.process?.terminal = false
        spec.process?.args = ["sh", "-c", script]
        spec.root?.readonly = false
        spec.linux?.cgroupsPath = "/" + id
        return spec
    }

    func request(_ spec: OCISpec, stdio: ProcessStdio) -> ContainerRequest {
        ContainerRequest(
            id: id, bundle: FilePath(folder + "/bundle"), spec: spec, rootfs: .path(FilePath(rootfs)), stdio: stdio)
    }

    /// What a process wrote on both outputs, and how it ended.
    struct Outcome {
        var output: String
        var status: Int32
        var warnings: [String]
    }

    /// Runs a container to its end.
    @discardableResult
    func run(_ spec: OCISpec, change: (inout ContainerRequest) -> Void = { _ in }) throws -> Outcome {
        let output = try PipeEnds()
        let null = try Files.open("/dev/null", O_RDWR)
        let write = output.writer.rawValue
        var request = request(spec, stdio: .descriptors(stdin: null.rawValue, stdout: write, stderr: write))
        change(&request)
        let created = try Container.run(request, in: environment)
        let text = try World.drain(output)
        let status = try PidFD.reap(created.process.pidfd.rawValue)?.status ?? -1
        try created.container.delete(force: true)
        return Outcome(output: text, status: status, warnings: created.process.warnings)
    }

    /// The same, of a shell command.
    @discardableResult
    func run(_ script: String, _ change: (inout OCISpec) -> Void = { _ in }) throws -> Outcome {
        var spec = spec(script)
        change(&spec)
        return try run(spec)
    }

    /// Runs a command in a container to its end.
    @discardableResult
    func exec(
        _ script: String, in container: Container, _ change: (inout OCIProcess) -> Void = { _ in }
    ) throws -> Outcome {
        let output = try PipeEnds()
        let null = try Files.open("/dev/null", O_RDWR)
        var process = container.spec.process ?? OCIProcess(args: [])
        process.args = ["sh", "-c", script]
        process.terminal = false
        change(&process)
        let write = output.writer.rawValue
        let launched = try container.exec(
            ExecRequest(
                process: process, stdio: .descriptors(stdin: null.rawValue, stdout: write, stderr: write)))
        // Reaped whatever happens: a container's first process does not end before every exec in it is reaped.
        do {
            let text = try World.drain(output)
            let status = try PidFD.reap(launched.pidfd.rawValue)?.status ?? -1
            return Outcome(output: text, status: status, warnings: launched.warnings)
        } catch {
            World.reapSoon(launched.pidfd.rawValue)
            throw error
        }
    }

    /// A created container that runs `script` once it is started; its output goes nowhere.
    func create(_ script: String, _ change: (inout OCISpec) -> Void = { _ in }) throws -> CreatedContainer {
        var spec = spec(script)
        change(&spec)
        let null = try Files.open("/dev/null", O_RDWR)
        let number = null.rawValue
        return try Container.create(
            request(spec, stdio: .descriptors(stdin: number, stdout: number, stderr: number)), in: environment)
    }

    /// A running container with `body`, which is deleted afterwards.
    func with(
        _ script: String = "sleep 1000", _ change: (inout OCISpec) -> Void = { _ in },
        _ body: (Container) throws -> Void
    ) throws {
        let created = try create(script, change)
        defer {
            _ = try? created.container.delete(force: true)
            World.reapSoon(created.process.pidfd.rawValue)
        }
        try created.container.start()
        try body(created.container)
    }

    /// Reaps a killed process; one that stays is a failure, not a test run that never ends.
    private static func reapSoon(_ pidfd: Int32) {
        for _ in 0..<1000 {
            do {
                if try PidFD.reap(pidfd, block: false) != nil { return }
            } catch { return }
            usleep(10_000)
        }
        Issue.record("the container's first process did not end within 10 s of its deletion")
    }

    private static func drain(_ pipe: consuming PipeEnds) throws -> String {
        let reader = try pipe.reader.duplicate()
        close(pipe)
        return String(decoding: try Files.read(reader.rawValue, limit: 1 << 20), as: UTF8.self)
    }

    private static func close(_ pipe: consuming PipeEnds) {}

    /// The error of a call that must fail.
    static func failure(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "no error"
    }
}

/// A call must fail with words like these.
func expectFailure(with words: String, at location: SourceLocation = #_sourceLocation, _ body: () throws -> Void) {
    let error = World.failure(body)
    #expect(error.contains(words), sourceLocation: location)
}

/// A call must fail with exactly this.
func expectFailure(is words: String, at location: SourceLocation = #_sourceLocation, _ body: () throws -> Void) {
    let error = World.failure(body)
    #expect(error == words, sourceLocation: location)
}

/// Whether these tests can run here at all.
let isRoot = geteuid() == 0

/// All tests that make containers, one after the other: some count what the machine holds before and after.
@Suite(.enabled(if: isRoot, "containers need root"), .serialized)
struct RuntimeTests {}
