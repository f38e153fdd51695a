internal import BerthBase
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem

extension Shim {
    /// A process has ended and was reaped.
    func ended(_ process: RunningProcess, _ outcome: ExitOutcome) {
        var exit = ProcessExit(status: UInt32(outcome.status), time: .now())
        if process.isInit { exit.oomKilled = checkMemory(process.task) && exit.status != 0 }
        guard !process.isStarting else {
            process.endedWhileStarting = exit
            return
        }
        settle(process, exit)
    }

    /// After a start: the exit that came meanwhile.
    func endIfEnded(_ process: RunningProcess) {
        guard let exit = process.endedWhileStarting else { return }
        process.endedWhileStarting = nil
        settle(process, exit)
    }

    /// Lets the last output reach its log, records the exit, then tells everybody.
    private func settle(_ process: RunningProcess, _ exit: ProcessExit) {
        let effects: [ProcessMachine.Effect]
        do throws(BerthError) { effects = try process.machine.handle(.exited(exit)) } catch {
            return log.write(.error, "\(error)")
        }
        process.isSettling = true
        if process.isInit, process.task.sharesPids { killRest(of: process.task) }
        let tell = { [self] in
            for effect in effects { perform(effect, process, rootfs: []) }
            if process.isInit { tellExitWaiters() }
            process.settled()
        }
        guard let id = process.streams?.relayID else { return tell() }
        ask(within: Shim.flushPatience) {
            .flush(id, token: $0)
        } then: { _ in
            tell()
        }
    }

    /// A container ends with its first process, also where a pid namespace does not see to it.
    private func killRest(of task: RunningTask) {
        guard let container = task.container else { return }
        offload.run { () throws(BerthError) in
            try container.kill(signal: Signal.kill, all: true)
        } then: { [log] result in
            if case .failure(let error) = result { log.write(.warning, "task '\(task.id)': \(error)") }
        }
    }

    // MARK: Memory

    /// Whether the kernel has killed processes of the task for want of memory; what was not told before is told now.
    private func checkMemory(_ task: RunningTask) -> Bool {
        task.oomWatch?.look()
        return task.isOOMKilled
    }

    func ranOutOfMemory(_ task: RunningTask) {
        task.isOOMKilled = true
        var event = TaskOOMEvent()
        event.containerID = task.id
        events.publish(TaskTopic.oom, event)
    }

    // MARK: Effects

    /// Moves a process on and does what follows from it.
    func apply(_ event: ProcessMachine.Event, to process: RunningProcess, rootfs: [MountMessage] = []) {
        do throws(BerthError) {
            for effect in try process.machine.handle(event) { perform(effect, process, rootfs: rootfs) }
        } catch {
            log.write(.error, "\(error)")
        }
    }

    private func perform(_ effect: ProcessMachine.Effect, _ process: RunningProcess, rootfs: [MountMessage]) {
        switch effect {
        case .publishCreate(let pid): publishCreate(process, pid, rootfs)
        case .publishStart(let pid): publishStart(process, pid)
        case .publishPaused:
            var event = TaskPausedEvent()
            event.containerID = process.task.id
            events.publish(TaskTopic.paused, event)
        case .publishResumed:
            var event = TaskResumedEvent()
            event.containerID = process.task.id
            events.publish(TaskTopic.resumed, event)
        case .recordExit(let pid, let exit): record(process, pid, exit)
        case .publishExit(let pid, let exit):
            var event = TaskExitEvent()
            event.containerID = process.task.id
            event.id = process.eventID
            event.pid = UInt32(pid)
            event.exitStatus = exit.status
            event.exitedAt = exit.time
            events.publish(TaskTopic.exit, event)
        case .answerWaiters(let exit): for call in process.takeWaiters() { call.answer(WaitResponse(exit)) }
        case .publishDelete(let pid, let exit): publishDelete(process, pid, exit)
        }
    }

    private func publishCreate(_ process: RunningProcess, _ pid: Int32, _ rootfs: [MountMessage]) {
        var event = TaskCreateEvent()
        event.containerID = process.task.id
        event.bundle = process.task.bundle
        event.rootfs = rootfs
        var io = TaskIOMessage()
        io.stdin = process.request.stdin
        io.stdout = process.request.stdout
        io.stderr = process.request.stderr
        io.terminal = process.request.terminal
        event.io = io
        event.pid = UInt32(pid)
        events.publish(TaskTopic.create, event)
    }

    private func publishStart(_ process: RunningProcess, _ pid: Int32) {
        if process.isInit {
            var event = TaskStartEvent()
            event.containerID = process.task.id
            event.pid = UInt32(pid)
            return events.publish(TaskTopic.start, event)
        }
        var event = TaskExecStartedEvent()
        event.containerID = process.task.id
        event.execID = process.execID
        event.pid = UInt32(pid)
        events.publish(TaskTopic.execStarted, event)
    }

    private func publishDelete(_ process: RunningProcess, _ pid: Int32, _ exit: ProcessExit) {
        guard process.isInit else { return }
        var event = TaskDeleteEvent()
        event.containerID = process.task.id
        event.pid = UInt32(pid)
        event.exitStatus = exit.status
        event.exitedAt = exit.time
        events.publish(TaskTopic.delete, event)
    }

    private func record(_ process: RunningProcess, _ pid: Int32, _ exit: ProcessExit) {
        var record = ShimExit()
        record.containerID = process.task.id
        record.execID = process.execID
        record.pid = UInt32(pid)
        record.exitStatus = exit.status
        record.exitedAt = exit.time
        record.oomKilled = exit.oomKilled
        do throws(BerthError) { try journal.record(&record, bundle: process.task.bundle) } catch {
            log.write(.error, "\(error)")
        }
    }
}

extension WaitResponse {
    init(_ exit: ProcessExit) {
        self.init()
        exitStatus = exit.status
        exitedAt = exit.time
    }
}
