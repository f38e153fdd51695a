public import BerthBase
public import BerthKernel

/// How a process ended.
public struct ExitStatus: Sendable, Hashable, Codable {
    /// The exit code; 128 + N after signal N.
    public var code: UInt32
    /// When it ended.
    public var exitedAt: Timestamp
    /// Whether the kernel's out-of-memory killer had a part in it.
    public var oomKilled: Bool
    /// Why nobody saw the exit itself: its shim was lost, and the code is 137. Empty when it was seen.
    public var lossReason: String
    /// Makes a status.
    public init(code: UInt32, exitedAt: Timestamp, oomKilled: Bool = false, lossReason: String = "") {
        self.code = code
        self.exitedAt = exitedAt
        self.oomKilled = oomKilled
        self.lossReason = lossReason
    }
}

/// Where a task or exec is.
public enum TaskState: String, Sendable, Codable {
    /// Made, its process waits for start.
    case created
    /// Runs.
    case running
    /// Ended, not deleted.
    case stopped
    /// Frozen.
    case paused
    /// Its shim does not answer.
    case unknown
}

/// What a shim knows of a task.
public struct TaskInfo: Sendable, Hashable {
    /// The state.
    public var state: TaskState
    /// The process ID on the host; 0 when there is none.
    public var pid: UInt32
    /// Set when stopped.
    public var exit: ExitStatus?
    /// Makes an info.
    public init(state: TaskState, pid: UInt32, exit: ExitStatus?) {
        self.state = state
        self.pid = pid
        self.exit = exit
    }
}

/// Paths or URLs of a process's standard streams as shims take them; empty: /dev/null.
public struct TaskStdio: Sendable, Hashable, Codable {
    /// A FIFO.
    public var stdin: String
    /// A FIFO, `file://`, `binary://`, or `cri://` with the path of a CRI log.
    public var stdout: String
    /// As `stdout`; unused with a terminal.
    public var stderr: String
    /// Whether the process has a terminal.
    public var terminal: Bool
    /// Makes stdio.
    public init(stdin: String = "", stdout: String = "", stderr: String = "", terminal: Bool = false) {
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.terminal = terminal
    }
}

/// Names a task: a container of a namespace.
public struct TaskRef: Sendable, Hashable {
    /// The namespace.
    public var namespace: NamespaceID
    /// The container.
    public var container: ContainerID
    /// Makes a reference.
    public init(_ namespace: NamespaceID, _ container: ContainerID) {
        self.namespace = namespace
        self.container = container
    }
}

/// What to create a task from.
public struct TaskRequest: Sendable {
    /// The OCI spec, JSON.
    public var spec: [UInt8]
    /// The mounts of the rootfs.
    public var rootfs: [Mount]
    /// The standard streams.
    public var stdio: TaskStdio
    /// The sandbox whose shim runs it; nil: a shim of its own.
    public var sandbox: PodID?
    /// The runtime; ignored within a sandbox.
    public var runtime: String
    /// The runtime's options.
    public var options: AnyMessage?
    /// Makes a request.
    public init(spec: [UInt8], rootfs: [Mount], stdio: TaskStdio, sandbox: PodID?, runtime: String) {
        self.spec = spec
        self.rootfs = rootfs
        self.stdio = stdio
        self.sandbox = sandbox
        self.runtime = runtime
    }
}

/// What an ExecSync gave.
public struct ExecResult: Sendable, Hashable {
    /// The standard output, bounded.
    public var stdout: [UInt8]
    /// The standard error, bounded.
    public var stderr: [UInt8]
    /// The exit code.
    public var exitCode: Int32
    /// Makes a result.
    public init(stdout: [UInt8], stderr: [UInt8], exitCode: Int32) {
        self.stdout = stdout
        self.stderr = stderr
        self.exitCode = exitCode
    }
}

/// Runs containers as tasks of shims. Adopts what its shims run after a restart.
public protocol TaskManager: Sendable {
    /// Creates the task and its init process, not started.
    /// - Throws: `alreadyExists`; `notFound` for the sandbox.
    func create(_ ref: TaskRef, _ request: TaskRequest) async throws -> TaskInfo
    /// Starts the task.
    /// - Throws: `notFound`; `failedPrecondition` when it was started before; the runtime's words for a bad command.
    func start(_ ref: TaskRef) async throws -> TaskInfo
    /// - Throws: `notFound`.
    func info(_ ref: TaskRef) async throws -> TaskInfo
    /// Waits for the exit.
    /// - Throws: `notFound`.
    func wait(_ ref: TaskRef) async throws -> ExitStatus
    /// Sends a signal to the init process, or to all processes.
    /// - Throws: `notFound` when there is no task or its process has ended.
    func kill(_ ref: TaskRef, signal: Int32, all: Bool) async throws
    /// Deletes a stopped task; `force` kills it first. A missing one is success.
    func delete(_ ref: TaskRef, force: Bool) async throws -> ExitStatus?
    /// Freezes or thaws.
    func pause(_ ref: TaskRef) async throws
    /// Thaws.
    func resume(_ ref: TaskRef) async throws
    /// Runs a process in the container and collects its output, at most `limit` bytes of each stream.
    /// - Parameter process: an OCI process, JSON.
    /// - Throws: `deadlineExceeded` after `timeout` (nil: none), its descendants killed.
    func execSync(_ ref: TaskRef, process: [UInt8], timeout: Duration?, limit: Int) async throws -> ExecResult
    /// Starts a process in the container.
    func exec(_ ref: TaskRef, execID: String, process: [UInt8], stdio: TaskStdio) async throws -> UInt32
    /// Waits for an exec's end and deletes it.
    func waitExec(_ ref: TaskRef, execID: String) async throws -> ExitStatus
    /// Sends a signal to an exec's process.
    func killExec(_ ref: TaskRef, execID: String, signal: Int32) async throws
    /// Resizes the terminal of the task, or of an exec.
    func resize(_ ref: TaskRef, execID: String?, width: UInt32, height: UInt32) async throws
    /// Closes the standard input of the task, or of an exec.
    func closeStdin(_ ref: TaskRef, execID: String?) async throws
    /// Changes resources; an OCI `LinuxResources`, JSON.
    func update(_ ref: TaskRef, resources: [UInt8]) async throws
    /// The cgroup's metrics message of containerd, v1 or v2 as the type URL says.
    func stats(_ ref: TaskRef) async throws -> AnyMessage
    /// The processes of the container, on the host.
    func pids(_ ref: TaskRef) async throws -> [UInt32]
    /// Makes the shim open the log again, between two whole lines.
    func reopenLog(_ ref: TaskRef) async throws
    /// Exits, as they are learnt; first those of tasks not deleted yet, those that happened while the daemon was down
    /// included. One may come twice: for a stopped task the status never changes.
    func exits() async -> AsyncStream<(TaskRef, ExitStatus)>
    /// Waits until the shims found at start have answered, or their deadline has passed.
    func recovered() async
}

extension ServiceKey where Interface == any TaskManager {
    /// The task manager.
    public static var tasks: Self { Self("task") }
}
