internal import BerthBase
internal import BerthOCI

/// One process of a task while the shim has it. Belongs to the control loop.
final class RunningProcess {
    /// The most calls that wait for one process's exit.
    static let maxWaiters = 1024

    /// The two know each other until the task is dissolved.
    let task: RunningTask
    /// Empty for the task's init process.
    let execID: String
    var machine: ProcessMachine
    let request: StdioRequest
    var streams: ProcessStreams?
    /// What an exec is to run; nil once it was started.
    var process: OCIProcess?
    /// While a start is under way, an exit waits until it is known to have happened.
    var isStarting = false
    var endedWhileStarting: ProcessExit?
    private(set) var waiters: [RPCCall] = []
    /// Called once it has ended and everybody has heard of it.
    private var afterExit: [() -> Void] = []

    init(_ task: RunningTask, execID: String, _ request: StdioRequest) {
        self.task = task
        self.execID = execID
        self.request = request
        machine = ProcessMachine(execID.isEmpty ? "task '\(task.id)'" : "exec '\(execID)' of task '\(task.id)'")
    }

    var isInit: Bool { execID.isEmpty }
    /// What exit events call it.
    var eventID: String { isInit ? task.id : execID }

    /// Answers the call when the process has ended.
    func wait(_ call: RPCCall) {
        waiters.removeAll { !$0.isWanted }
        guard waiters.count < RunningProcess.maxWaiters else {
            return call.fail(
                BerthError(.resourceExhausted, "\(RunningProcess.maxWaiters) calls wait for \(machine.name)"))
        }
        waiters.append(call)
    }

    /// The calls that wait, which do so no longer.
    func takeWaiters() -> [RPCCall] {
        defer { waiters = [] }
        return waiters
    }

    /// Calls `body` when the exit has been told to everybody; at once if it was before.
    func whenEnded(_ body: @escaping () -> Void) {
        if case .stopped = machine.phase, waiters.isEmpty, !isSettling { return body() }
        afterExit.append(body)
    }

    /// The exit is recorded, and waits for the last output before it is told.
    var isSettling = false

    func settled() {
        isSettling = false
        let bodies = afterExit
        afterExit = []
        for body in bodies { body() }
    }
}
