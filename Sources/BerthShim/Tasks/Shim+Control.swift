internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthShimAPI
internal import Glibc

extension Shim {
    func state(_ request: StateRequest) throws(BerthError) -> StateResponse {
        let process = try process(request.id, request.execID)
        var answer = StateResponse()
        answer.id = process.eventID
        answer.bundle = process.task.bundle
        answer.pid = UInt32(process.machine.pid)
        answer.status = process.machine.wireStatus
        answer.stdin = process.request.stdin
        answer.stdout = process.request.stdout
        answer.stderr = process.request.stderr
        answer.terminal = process.request.terminal
        answer.exitStatus = process.machine.exit?.status ?? 0
        answer.exitedAt = process.machine.exit?.time
        answer.execID = request.execID
        return answer
    }

    func wait(_ request: WaitRequest, _ call: RPCCall) throws(BerthError) {
        let process = try process(request.id, request.execID)
        if let exit = process.machine.exit, !process.isSettling { return call.answer(WaitResponse(exit)) }
        process.wait(call)
    }

    func kill(_ request: KillRequest, _ call: RPCCall) throws(BerthError) {
        let process = try process(request.id, request.execID), signal = Int32(bitPattern: request.signal)
        let container = try process.task.made()
        if process.isInit, request.all {
            return answer(call) { () throws(BerthError) in try container.kill(signal: signal, all: true) }
        }
        guard process.machine.isAlive, process.endedWhileStarting == nil else {
            throw BerthError(.notFound, "kill \(process.machine.name): process already finished")
        }
        if process.isInit {
            try container.kill(signal: signal)
        } else if Glibc.kill(process.machine.pid, signal) != 0 {
            // The pid is a child's that was not reaped: it cannot be another process.
            throw BerthError(.invalidArgument, "kill \(process.machine.name) with signal \(signal): refused")
        }
        call.answer(WireEmpty())
    }

    /// Answers with nothing once `body` is done elsewhere.
    private func answer(_ call: RPCCall, _ body: @escaping @Sendable () throws(BerthError) -> Void) {
        offload.run(body) { result in
            switch result {
            case .success: call.answer(WireEmpty())
            case .failure(let error): call.fail(error)
            }
        }
    }

    // MARK: Freezing and limits

    func pause(_ request: PauseRequest, _ call: RPCCall) throws(BerthError) {
        let task = try task(request.id), container = try task.made()
        guard case .running = task.process().machine.phase else {
            throw BerthError(.failedPrecondition, "pause task '\(task.id)': it is \(task.process().machine.state)")
        }
        try change(task, call, .paused) { () throws(BerthError) in try container.pause() }
    }

    func resume(_ request: ResumeRequest, _ call: RPCCall) throws(BerthError) {
        let task = try task(request.id), container = try task.made()
        guard case .paused = task.process().machine.phase else {
            throw BerthError(.failedPrecondition, "resume task '\(task.id)': it is \(task.process().machine.state)")
        }
        try change(task, call, .resumed) { () throws(BerthError) in try container.resume() }
    }

    private func change(
        _ task: RunningTask, _ call: RPCCall, _ event: ProcessMachine.Event?,
        _ body: @escaping @Sendable () throws(BerthError) -> Void
    ) throws(BerthError) {
        try task.inTurn { [unowned self] done in
            offload.run(body) { [unowned self] result in
                switch result {
                case .success:
                    if let event, task.process().machine.isAlive { apply(event, to: task.process()) }
                    call.answer(WireEmpty())
                case .failure(let error): call.fail(error)
                }
                done()
            }
        }
    }

    func update(_ request: UpdateTaskRequest, _ call: RPCCall) throws(BerthError) {
        let task = try task(request.id), container = try task.made()
        let resources = try OCIJSON.decode(OCIResources.self, request.resources?.value ?? [], as: "the resources")
        try change(task, call, nil) { () throws(BerthError) in try container.update(resources) }
    }

    // MARK: What it is and uses

    func pids(_ request: PidsRequest) throws(BerthError) -> PidsResponse {
        let task = try task(request.id)
        var execs: [Int32: String] = [:]
        for exec in task.execs.values where exec.machine.isAlive { execs[exec.machine.pid] = exec.execID }
        var answer = PidsResponse()
        answer.processes = try task.made().pids().sorted().map { pid in
            var info = ProcessInfo()
            info.pid = UInt32(pid)
            if let exec = execs[pid] {
                var details = RuncProcessDetails()
                details.execID = exec
                info.info = details.asAny
            }
            return info
        }
        return answer
    }

    func stats(_ request: StatsRequest) throws(BerthError) -> StatsResponse {
        let container = try task(request.id).made()
        var answer = StatsResponse()
        answer.stats = try container.stats().metrics(isV2: container.usesCgroupV2)
        return answer
    }

    func connect(_ request: ConnectRequest) throws(BerthError) -> ConnectResponse {
        var answer = ConnectResponse()
        answer.shimPid = UInt32(getpid())
        answer.taskPid = UInt32(tasks[request.id]?.process().machine.pid ?? 0)
        answer.version = ShimVersion.current
        return answer
    }

    // MARK: Streams

    func resize(_ request: ResizePtyRequest) throws(BerthError) -> WireEmpty {
        let process = try process(request.id, request.execID)
        guard let streams = process.streams else {
            throw BerthError(
                .failedPrecondition, "resize the terminal of \(process.machine.name): it is \(process.machine.state)")
        }
        try streams.resize(width: request.width, height: request.height)
        return WireEmpty()
    }

    func closeIO(_ request: CloseIORequest) throws(BerthError) -> WireEmpty {
        let process = try process(request.id, request.execID)
        if request.stdin { process.streams?.closeInput() }
        return WireEmpty()
    }

    // MARK: The end

    /// Ends the shim, unless another container of the pod still needs it.
    func shutdown(_ request: ShutdownRequest, _ call: RPCCall) throws(BerthError) {
        call.answer(WireEmpty())
        if tasks.isEmpty, sandbox == nil { leave() }
    }
}

extension ProcessMachine {
    var wireStatus: TaskStatus {
        switch phase {
        case .added, .created: .created
        case .running: .running
        case .paused: .paused
        case .stopped, .deleted: .stopped
        }
    }
}
