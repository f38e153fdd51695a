internal import BerthBase

/// How a process ended, and when.
struct ProcessExit: Hashable, Sendable {
    var status: UInt32
    var time: Timestamp
    var oomKilled = false
}

/// What one process of a container is doing: its init process, or an exec. Pure: event in, effects out.
struct ProcessMachine {
    enum Phase: Hashable {
        /// An exec that is known, and has no process yet.
        case added
        /// A process that waits for the word to start.
        case created(pid: Int32)
        case running(pid: Int32)
        case paused(pid: Int32)
        case stopped(pid: Int32, ProcessExit)
        /// Nothing of it is left.
        case deleted
    }

    enum Event {
        case created(pid: Int32)
        case started(pid: Int32)
        case paused
        case resumed
        case exited(ProcessExit)
        /// It could not be started: it ends without having run.
        case failedToStart(ProcessExit)
        case deleted
    }

    enum Effect: Hashable {
        case publishCreate(pid: Int32)
        case publishStart(pid: Int32)
        case publishPaused
        case publishResumed
        /// To be written down before anything after it happens.
        case recordExit(pid: Int32, ProcessExit)
        case publishExit(pid: Int32, ProcessExit)
        case answerWaiters(ProcessExit)
        case publishDelete(pid: Int32, ProcessExit)
    }

    private(set) var phase = Phase.added
    /// What it is called in errors: `task 'x'` or `exec 'y' of task 'x'`.
    let name: String

    init(_ name: String) { self.name = name }

    /// - Throws: `failedPrecondition` for what cannot happen now; nothing has changed then.
    mutating func handle(_ event: Event) throws(BerthError) -> [Effect] {
        switch (phase, event) {
        case (.added, .created(let pid)):
            phase = .created(pid: pid)
            return [.publishCreate(pid: pid)]
        case (.added, .started(let pid)), (.created, .started(let pid)):
            phase = .running(pid: pid)
            return [.publishStart(pid: pid)]
        case (.running(let pid), .paused):
            phase = .paused(pid: pid)
            return [.publishPaused]
        case (.paused(let pid), .resumed):
            phase = .running(pid: pid)
            return [.publishResumed]
        case (.created(let pid), .exited(let exit)), (.running(let pid), .exited(let exit)),
            (.paused(let pid), .exited(let exit)):
            phase = .stopped(pid: pid, exit)
            return [.recordExit(pid: pid, exit), .publishExit(pid: pid, exit), .answerWaiters(exit)]
        case (.added, .failedToStart(let exit)):
            phase = .stopped(pid: 0, exit)
            return [.answerWaiters(exit)]
        case (.stopped(let pid, let exit), .deleted):
            phase = .deleted
            return [.publishDelete(pid: pid, exit)]
        case (.added, .deleted):
            phase = .deleted
            return []
        default:
            throw BerthError(.failedPrecondition, "\(name) is \(state), it cannot be \(event.word)")
        }
    }

    /// - Throws: `failedPrecondition` unless it could be started now.
    func checkStart() throws(BerthError) {
        switch phase {
        case .added, .created: return
        case .running, .paused, .stopped, .deleted:
            throw BerthError(.failedPrecondition, "start \(name): it is \(state)")
        }
    }

    /// The phase as people read it.
    var state: String {
        switch phase {
        case .added: "added"
        case .created: "created"
        case .running: "running"
        case .paused: "paused"
        case .stopped: "stopped"
        case .deleted: "deleted"
        }
    }

    /// 0 if it has none.
    var pid: Int32 {
        switch phase {
        case .added, .deleted: 0
        case .created(let pid), .running(let pid), .paused(let pid), .stopped(let pid, _): pid
        }
    }

    var exit: ProcessExit? {
        if case .stopped(_, let exit) = phase { return exit }
        return nil
    }

    /// Whether there is a process that has not ended.
    var isAlive: Bool {
        switch phase {
        case .created, .running, .paused: true
        case .added, .stopped, .deleted: false
        }
    }
}

extension ProcessMachine.Event {
    fileprivate var word: String {
        switch self {
        case .created: "created"
        case .started: "started"
        case .paused: "paused"
        case .resumed: "resumed"
        case .exited: "ended"
        case .failedToStart: "given up"
        case .deleted: "deleted"
        }
    }
}
