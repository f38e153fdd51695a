internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthShimAPI

extension Shim {
    func start(_ request: StartRequest, _ call: RPCCall) throws(BerthError) {
        let process = try process(request.id, request.execID)
        try process.machine.checkStart()
        guard !process.isStarting else {
            throw BerthError(.failedPrecondition, "start \(process.machine.name): a start is under way")
        }
        if process.isInit { try startInit(process, call) } else { try startExec(process, call) }
    }

    private func startInit(_ process: RunningProcess, _ call: RPCCall) throws(BerthError) {
        let task = process.task, container = try task.made(), pid = process.machine.pid
        process.isStarting = true
        try task.inTurn { [unowned self] done in
            offload.run { () throws(BerthError) -> [String] in
                try container.start()
            } then: { [unowned self] result in
                process.isStarting = false
                switch result {
                case .success(let warnings):
                    for warning in warnings { log.write(.warning, "task '\(task.id)': \(warning)") }
                    apply(.started(pid: pid), to: process)
                    var answer = StartResponse()
                    answer.pid = UInt32(pid)
                    call.answer(answer)
                case .failure(let error): call.fail(error)
                }
                endIfEnded(process)
                done()
            }
        }
    }

    // MARK: Execs

    func addExec(_ request: ExecProcessRequest, _ call: RPCCall) throws(BerthError) {
        let task = try task(request.id)
        guard !request.execID.isEmpty else {
            throw BerthError(.invalidArgument, "exec in task '\(request.id)': it has no ID")
        }
        guard task.process().machine.isAlive else {
            throw BerthError(.failedPrecondition, "exec in task '\(request.id)': it is \(task.process().machine.state)")
        }
        let stdio = StdioRequest(
            stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal)
        let exec = RunningProcess(task, execID: request.execID, stdio)
        var process = try OCIJSON.decode(OCIProcess.self, request.spec?.value ?? [], as: "the exec's process")
        process.terminal = request.terminal
        exec.process = process
        try task.add(exec)
        var event = TaskExecAddedEvent()
        event.containerID = request.id
        event.execID = request.execID
        events.publish(TaskTopic.execAdded, event)
        call.answer(WireEmpty())
    }

    private func startExec(_ exec: RunningProcess, _ call: RPCCall) throws(BerthError) {
        let task = exec.task, container = try task.made()
        guard let process = exec.process else {
            throw BerthError(.failedPrecondition, "start \(exec.machine.name): it was started before")
        }
        let streams = try ProcessStreams(
            exec.request, owner: Shim.owner(process, container.spec.linux), size: process.consoleSize,
            logger: LoggerContext(container: task.id, namespace: context.namespace), relay: relay)
        exec.streams = streams
        exec.isStarting = true
        let request = ExecRequest(process: process, stdio: streams.stdio)
        offload.run { () throws(BerthError) -> Launched in
            Launched(container, try container.exec(request))
        } then: { [self] result in
            exec.isStarting = false
            exec.process = nil
            switch result {
            case .success(let launched): execStarted(exec, launched, call)
            case .failure(let error):
                streams.close()
                // As a shell reports a command that it cannot run.
                apply(.failedToStart(ProcessExit(status: 255, time: .now())), to: exec)
                call.fail(error.during("start \(exec.machine.name)"))
            }
        }
    }

    private func execStarted(_ exec: RunningProcess, _ launched: Launched, _ call: RPCCall) {
        for warning in launched.warnings { log.write(.warning, "\(exec.machine.name): \(warning)") }
        apply(.started(pid: launched.pid), to: exec)
        adopt(exec, launched)
        var answer = StartResponse()
        answer.pid = UInt32(launched.pid)
        call.answer(answer)
    }
}
