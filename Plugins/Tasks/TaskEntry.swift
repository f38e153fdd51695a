internal import BerthBase
internal import BerthServices
internal import BerthShimClient

/// What the manager knows of a task. Pure: events in, whether something is news out.
struct TaskEntry: Sendable {
    let shim: ShimKey
    let bundle: ShimBundle
    private(set) var state: TaskState
    private(set) var pid: UInt32 = 0
    private(set) var exit: ExitStatus?
    /// Found at start and being asked for.
    var recovering: Task<Void, Never>?
    /// Being created: nobody but its creator may touch it.
    var isCreating: Bool

    init(shim: ShimKey, bundle: ShimBundle, isCreating: Bool = false) {
        self.shim = shim
        self.bundle = bundle
        self.isCreating = isCreating
        state = isCreating ? .created : .unknown
    }

    var info: TaskInfo { TaskInfo(state: state, pid: exit == nil ? pid : 0, exit: exit) }

    /// The process waits for its start.
    mutating func created(pid: UInt32) {
        isCreating = false
        guard exit == nil else { return }
        (state, self.pid) = (.created, pid)
    }

    /// The process runs; an exit that was learnt before stays.
    mutating func started(pid: UInt32) {
        guard exit == nil else { return }
        (state, self.pid) = (.running, pid)
    }

    mutating func paused(_ isPaused: Bool) {
        guard exit == nil else { return }
        state = isPaused ? .paused : .running
    }

    /// What the shim says of it.
    mutating func learned(_ state: TaskState, pid: UInt32) {
        guard exit == nil else { return }
        (self.state, self.pid) = (state, pid)
    }

    /// The process ended; false when that was known.
    mutating func exited(_ status: ExitStatus) -> Bool {
        guard exit == nil else { return false }
        (exit, state) = (status, .stopped)
        return true
    }
}
