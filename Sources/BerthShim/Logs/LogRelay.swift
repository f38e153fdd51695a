internal import BerthBase
internal import BerthSystem
internal import Synchronization
internal import SystemPackage

/// Relays the streams of processes on a thread of its own, so that a slow disk stops no call and a chatty process no
/// other. The thread starts with the first job.
final class LogRelay: Sendable {
    /// The relay thread's stack: its deepest frames are a write and a few array copies.
    static let stackBytes = 131_072

    private struct State {
        var commands: [RelayCommand] = []
        var notices: [RelayNotice] = []
        var runs = false
        var lastID: UInt64 = 0
    }

    private let state = Mutex(State())
    private let toRelay: WakeUp
    private let toControl: WakeUp

    init() throws(Errno) {
        toRelay = try WakeUp()
        toControl = try WakeUp()
    }

    /// Readable when there are notices.
    var descriptor: Int32 { toControl.descriptor.rawValue }

    /// Begins a job; its descriptors are the relay's from now on.
    func add(_ job: RelayJob) throws(BerthError) -> RelayID {
        try startIfNeeded()
        let id = state.withLock { state in
            state.lastID += 1
            state.commands.append(.add(RelayID(number: state.lastID), job))
            return RelayID(number: state.lastID)
        }
        toRelay.call()
        return id
    }

    /// Asks for something about a job.
    func send(_ command: RelayCommand) {
        state.withLock { $0.commands.append(command) }
        toRelay.call()
    }

    /// What the relay has said since the last call.
    func notices() -> [RelayNotice] {
        toControl.take()
        return state.withLock { state in
            defer { state.notices = [] }
            return state.notices
        }
    }

    private func startIfNeeded() throws(BerthError) {
        let starts = state.withLock { state in
            defer { state.runs = true }
            return !state.runs
        }
        guard starts else { return }
        try attempting("start the log relay") { () throws(Errno) in
            try SmallThread.start(stack: LogRelay.stackBytes) { [self] in run() }
        }
    }

    private func run() {
        guard let loop = try? EventLoop() else { return }
        let relay = RelayLoop(loop: loop) { [unowned self] notice in
            state.withLock { $0.notices.append(notice) }
            toControl.call()
        }
        try? loop.watch(toRelay.descriptor.rawValue, .input) { [unowned self] _ in
            toRelay.take()
            let commands = state.withLock { state in
                defer { state.commands = [] }
                return state.commands
            }
            for command in commands { relay.obey(command) }
        }
        try? loop.run()
    }
}
