internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension Shim {
    func capabilities() -> ShimCapabilitiesResponse {
        var answer = ShimCapabilitiesResponse()
        answer.version = ShimVersion.current
        answer.pid = UInt32(getpid())
        answer.capabilities = [
            ShimCapability.execSync, ShimCapability.criLog, ShimCapability.reopenLog, ShimCapability.exits,
            ShimCapability.sandbox,
        ]
        return answer
    }

    /// The most calls that wait for an exit.
    static let maxExitWaiters = 64

    func exits(_ request: ShimExitsRequest, _ call: RPCCall) throws(BerthError) {
        let exits = journal.exits(after: request.after)
        guard exits.isEmpty, request.wait else { return call.answer(ShimExitsResponse(exits)) }
        exitWaiters.removeAll { !$0.call.isWanted }
        guard exitWaiters.count < Shim.maxExitWaiters else {
            throw BerthError(.resourceExhausted, "\(Shim.maxExitWaiters) calls wait for exits already")
        }
        exitWaiters.append((call, request.after))
    }

    /// Answers those who wait for exits, now that there is one.
    func tellExitWaiters() {
        let waiters = exitWaiters
        exitWaiters = []
        for waiter in waiters {
            let exits = journal.exits(after: waiter.after)
            if exits.isEmpty { exitWaiters.append(waiter) } else { waiter.call.answer(ShimExitsResponse(exits)) }
        }
    }

    /// How long a disk may take to open a log again.
    static let reopenPatience = Duration.seconds(10)

    func reopenLog(_ request: ReopenLogRequest, _ call: RPCCall) throws(BerthError) {
        let process = try task(request.id).process()
        guard process.machine.isAlive, let id = process.streams?.relayID else {
            throw BerthError(.failedPrecondition, "reopen the log of \(process.machine.name): it writes none")
        }
        ask(within: Shim.reopenPatience) {
            .reopen(id, token: $0)
        } then: { error in
            if let error { call.fail(error) } else { call.answer(WireEmpty()) }
        }
    }

    // MARK: ExecSync

    func execSync(_ request: ExecSyncRequest, _ call: RPCCall) throws(BerthError) {
        let task = try task(request.id), container = try task.made()
        guard task.process().machine.isAlive else {
            throw BerthError(.failedPrecondition, "exec in task '\(task.id)': it is \(task.process().machine.state)")
        }
        var process = try OCIJSON.decode(OCIProcess.self, request.process, as: "the exec's process")
        process.terminal = false
        let pipes = try attempting("make pipes") { () throws(Errno) in
            (BoxedPipe(try PipeEnds()), BoxedPipe(try PipeEnds()), OwnedBox(try Files.open("/dev/null", O_RDONLY)))
        }
        let owner = Shim.owner(process, container.spec.linux)
        for pipe in [pipes.0, pipes.1] { _ = fchown(pipe.writer.number, owner.uid, owner.gid) }
        let exec = ExecRequest(
            process: process,
            stdio: .descriptors(stdin: pipes.2.number, stdout: pipes.0.writer.number, stderr: pipes.1.writer.number))
        offload.run { () throws(BerthError) -> Launched in
            Launched(container, try container.exec(exec))
        } then: { [self] result in
            // Held until now: the process has its own.
            withExtendedLifetime((pipes.0.writer, pipes.1.writer, pipes.2)) {}
            switch result {
            case .success(let launched): collect(launched, pipes.0, pipes.1, request, call)
            case .failure(let error): call.fail(error)
            }
        }
    }

    private func collect(
        _ launched: Launched, _ stdout: BoxedPipe, _ stderr: BoxedPipe, _ request: ExecSyncRequest, _ call: RPCCall
    ) {
        _ = OwnedFD(launched.pidfd)
        for pipe in [stdout, stderr] { pipe.writer.close() }
        let pid = launched.pid, container = launched.container
        let exec: SyncExec
        do throws(Errno) {
            exec = try SyncExec(stdout: stdout.reader, stderr: stderr.reader, limit: request.limit, loop: loop)
        } catch {
            Glibc.kill(pid, SIGKILL)
            reaper.expect(pid) { _ in }
            return call.fail(BerthError(error, "read the output of an exec"))
        }
        let key = ObjectIdentifier(exec)
        runningExecs[key] = exec
        exec.onOutput = { stream, bytes in
            var output = ExecSyncOutput()
            if stream == 0 { output.stdout = bytes } else { output.stderr = bytes }
            call.send(output)
        }
        exec.onEnd = { [unowned self, unowned exec] status in
            if let status {
                var answer = ExecSyncResponse()
                answer.exitCode = status
                answer.truncated = exec.isTruncated
                call.answer(answer)
            } else {
                killTree(of: pid, in: container)
                let limit = Duration.nanoseconds(request.timeoutNano)
                call.fail(BerthError(.deadlineExceeded, "exec in task '\(request.id)': no end within \(limit), killed"))
            }
            // This is called by its own code.
            loop.after(.zero) { [unowned self] in runningExecs[key] = nil }
        }
        if request.timeoutNano > 0 { exec.limit(to: .nanoseconds(request.timeoutNano)) }
        reaper.expect(pid) { [weak exec] outcome in exec?.exited(outcome.status) }
    }

    private func killTree(of pid: Int32, in container: Container) {
        offload.run { () throws(BerthError) in
            try container.killTree(of: pid)
        } then: { [log] result in
            if case .failure(let error) = result { log.write(.warning, "kill an exec: \(error)") }
        }
    }
}

extension ShimExitsResponse {
    init(_ exits: [ShimExit]) {
        self.init()
        self.exits = exits
    }
}
