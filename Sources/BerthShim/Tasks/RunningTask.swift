internal import BerthBase
internal import BerthRuntime
internal import BerthShimAPI
internal import SystemPackage

/// A container while the shim has it. Belongs to the control loop.
final class RunningTask {
    /// The most operations that wait for one before them.
    static let maxQueuedOperations = 64

    let id: String
    let bundle: String
    /// nil while it is being made.
    var container: Container?
    private(set) var execs: [String: RunningProcess] = [:]
    var oomWatch: OOMWatch?
    /// Where mounts are that are visible on the host, to be detached at the end.
    var mountedRootfs: String?
    /// Whether its processes outlive its first one: they share a pid namespace with others.
    var sharesPids = false
    var isOOMKilled = false
    private var initial: RunningProcess?
    private var isBusy = false
    private var queue: [() -> Void] = []

    init(id: String, bundle: String) {
        self.id = id
        self.bundle = bundle
    }

    /// The init process.
    func process(_ request: StdioRequest = StdioRequest()) -> RunningProcess {
        if let initial { return initial }
        let made = RunningProcess(self, execID: "", request)
        initial = made
        return made
    }

    /// The init process or an exec.
    ///
    /// - Throws: `notFound` for an exec that is not there.
    func process(_ execID: String) throws(BerthError) -> RunningProcess {
        if execID.isEmpty { return process() }
        guard let exec = execs[execID] else {
            throw BerthError(.notFound, "exec '\(execID)' of task '\(id)' does not exist")
        }
        return exec
    }

    /// The most execs of one task, ended ones that nobody deleted included.
    static let maxExecs = 4096

    /// - Throws: `alreadyExists`, `resourceExhausted`.
    func add(_ exec: RunningProcess) throws(BerthError) {
        guard execs[exec.execID] == nil else {
            throw BerthError(.alreadyExists, "exec '\(exec.execID)' of task '\(id)' exists already")
        }
        guard execs.count < RunningTask.maxExecs else {
            throw BerthError(
                .resourceExhausted, "task '\(id)' has \(RunningTask.maxExecs) execs; delete those that ended")
        }
        execs[exec.execID] = exec
    }

    func remove(exec id: String) { execs[id] = nil }

    /// Nothing is asked of the task any more: what still runs for its processes ends by itself.
    func dissolve() {
        execs = [:]
        initial = nil
        container = nil
    }

    /// The container.
    ///
    /// - Throws: `failedPrecondition` while it is being made.
    func made() throws(BerthError) -> Container {
        guard let container else { throw BerthError(.failedPrecondition, "task '\(id)' is still being created") }
        return container
    }

    /// Runs operations that change the task one after the other; each says when it is done.
    ///
    /// - Throws: `resourceExhausted` if too many wait.
    func inTurn(_ operation: @escaping (_ done: @escaping () -> Void) -> Void) throws(BerthError) {
        guard queue.count < RunningTask.maxQueuedOperations else {
            throw BerthError(.resourceExhausted, "\(queue.count) operations of task '\(id)' wait already")
        }
        queue.append { [unowned self] in operation { [weak self] in self?.finishTurn() } }
        if !isBusy { nextTurn() }
    }

    private func nextTurn() {
        guard !queue.isEmpty else { return }
        isBusy = true
        queue.removeFirst()()
    }

    private func finishTurn() {
        isBusy = false
        nextTurn()
    }
}
