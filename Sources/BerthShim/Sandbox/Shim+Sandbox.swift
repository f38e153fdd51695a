internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem
internal import SystemPackage

extension Shim {
    /// How long the processes of a pod may take to end once they are killed.
    static let stopPatience = Duration.seconds(10)

    /// - Throws: `notFound` for another ID than this shim's.
    private func sandbox(_ id: String) throws(BerthError) -> Sandbox {
        guard let sandbox, sandbox.id == id else { throw BerthError(.notFound, "sandbox '\(id)' does not exist") }
        return sandbox
    }

    /// A sandbox that was created and not started is created again.
    func createSandbox(_ request: CreateSandboxRequest, _ call: RPCCall) throws(BerthError) {
        if let sandbox, sandbox.id != request.sandboxID || sandbox.phase != .created {
            throw BerthError(.alreadyExists, "sandbox '\(sandbox.id)' exists already")
        }
        let path = request.bundlePath + "/config.json"
        let bytes = try attempting("read '\(path)'") { () throws(Errno) in try Files.read(path) }
        sandbox = Sandbox(id: request.sandboxID, spec: try OCISpec(json: bytes), netnsPath: request.netnsPath)
        call.answer(CreateSandboxResponse())
    }

    func startSandbox(_ request: StartSandboxRequest, _ call: RPCCall) throws(BerthError) {
        let sandbox = try sandbox(request.sandboxID)
        if case .ready(let time) = sandbox.phase { return call.answer(StartSandboxResponse(sandbox.pid, time)) }
        guard sandbox.phase == .created else {
            throw BerthError(.failedPrecondition, "start sandbox '\(sandbox.id)': it was started before")
        }
        sandbox.phase = .starting
        let spec = sandbox.spec, environment = environment(bundle: context.bundle), id = sandbox.id
        offload.run { () throws(BerthError) -> MadePod in
            try Pod.make(id: id, spec: spec, in: environment)
        } then: { [self] result in
            switch result {
            case .success(let made): sandboxStarted(sandbox, made, call)
            case .failure(let error):
                sandbox.phase = .stopped(.now())
                self.sandbox = nil
                call.fail(error.during("start sandbox '\(id)'"))
            }
            sandbox.settled()
        }
    }

    private func sandboxStarted(_ sandbox: Sandbox, _ made: MadePod, _ call: RPCCall) {
        let now = Timestamp.now()
        sandbox.pod = made.pod
        sandbox.reaper = made.reaper ?? 0
        sandbox.createdAt = now
        sandbox.phase = .ready(now)
        if let first = made.reaper {
            reaper.expect(first) { [self] _ in reaperEnded(sandbox) }
        }
        do throws(BerthError) {
            let record = try OCIJSON.encode(sandbox.record)
            try attempting("write '\(SandboxRecord.file)'") { () throws(Errno) in
                try Files.replace("\(context.bundle)/\(SandboxRecord.file)", with: record, mode: 0o600)
            }
        } catch {
            log.write(.error, "sandbox '\(sandbox.id)': \(error)")
        }
        call.answer(StartSandboxResponse(sandbox.pid, now))
    }

    /// Without its first process a pid namespace takes no other: the pod is over.
    private func reaperEnded(_ sandbox: Sandbox) {
        sandbox.reaper = 0
        guard case .ready = sandbox.phase else { return }
        log.write(.error, "sandbox '\(sandbox.id)': the first process of its pid namespace has ended")
        // What it holds stays until StopSandbox takes it away.
        ended(sandbox, at: .now())
    }

    private func stopped(_ sandbox: Sandbox, at time: Timestamp?) {
        sandbox.pod = nil
        ended(sandbox, at: time ?? .now())
    }

    private func ended(_ sandbox: Sandbox, at now: Timestamp) {
        sandbox.phase = .stopped(now)
        for call in sandbox.waiters { call.answer(WaitSandboxResponse(at: now)) }
        sandbox.waiters = []
    }

    // MARK: Stopping

    /// Kills what runs in the pod and lets go of its namespaces and cgroup. A sandbox that is stopped is success.
    func stopSandbox(_ request: StopSandboxRequest, _ call: RPCCall) throws(BerthError) {
        guard let sandbox, sandbox.id == request.sandboxID else { return call.answer(StopSandboxResponse()) }
        stop(sandbox) { error in
            if let error { call.fail(error) } else { call.answer(StopSandboxResponse()) }
        }
    }

    /// Stops; a start or stop under way is waited for.
    private func stop(_ sandbox: Sandbox, then tell: @escaping (BerthError?) -> Void) {
        var over: Timestamp?
        switch sandbox.phase {
        case .starting, .stopping:
            return sandbox.whenSettled { [self] in stop(sandbox, then: tell) }
        case .stopped(let time):
            guard sandbox.pod != nil else { return tell(nil) }
            over = time
        case .created, .ready: break
        }
        let before = sandbox.phase
        sandbox.phase = .stopping
        offload.run(stopping(sandbox)) { [self] result in
            switch result {
            case .success:
                stopped(sandbox, at: over)
                tell(nil)
            case .failure(let error):
                sandbox.phase = before
                tell(error.during("stop sandbox '\(sandbox.id)'"))
            }
            sandbox.settled()
        }
    }

    /// The part of a stop that may block.
    private func stopping(_ sandbox: Sandbox) -> @Sendable () throws(BerthError) -> Void {
        let containers = tasks.values.filter { $0.process().machine.isAlive }.compactMap(\.container)
        let pod = sandbox.pod, reaper = sandbox.reaper
        return { () throws(BerthError) in
            // One that is paused feels no signal on cgroup v1.
            for container in containers {
                try? container.kill(signal: Signal.kill, all: true)
                try? container.resume()
            }
            if reaper > 0, let process = try? PidFD.open(reaper) {
                try? PidFD.signal(process.rawValue, Signal.kill)
                _ = try? PidFD.ended(process.rawValue, within: Int32(Shim.stopPatience.components.seconds * 1000))
            }
            try pod?.removeCgroup()
        }
    }

    func waitSandbox(_ request: WaitSandboxRequest, _ call: RPCCall) throws(BerthError) {
        let sandbox = try sandbox(request.sandboxID)
        if case .stopped(let time) = sandbox.phase { return call.answer(WaitSandboxResponse(at: time)) }
        sandbox.waiters.removeAll { !$0.isWanted }
        guard sandbox.waiters.count < Sandbox.maxWaiters else {
            throw BerthError(.resourceExhausted, "\(Sandbox.maxWaiters) calls wait for sandbox '\(sandbox.id)'")
        }
        sandbox.waiters.append(call)
    }

    /// Stops what still runs and ends the shim. Refused while there are tasks: their exits are not known to all yet.
    func shutdownSandbox(_ request: ShutdownSandboxRequest, _ call: RPCCall) throws(BerthError) {
        guard let sandbox, sandbox.id == request.sandboxID else {
            call.answer(ShutdownSandboxResponse())
            return leaveIfEmpty()
        }
        guard tasks.isEmpty else {
            throw BerthError(
                .failedPrecondition, "shut down sandbox '\(sandbox.id)': \(tasks.count) tasks are not deleted")
        }
        stop(sandbox) { [self] error in
            if let error { return call.fail(error) }
            self.sandbox = nil
            try? Files.remove("\(context.bundle)/\(SandboxRecord.file)")
            call.answer(ShutdownSandboxResponse())
            leaveIfEmpty()
        }
    }

    // MARK: What it is

    func sandboxStatus(_ request: SandboxStatusRequest) throws(BerthError) -> SandboxStatusResponse {
        let sandbox = try sandbox(request.sandboxID)
        var answer = SandboxStatusResponse()
        answer.sandboxID = sandbox.id
        answer.pid = UInt32(sandbox.pid)
        answer.state = sandbox.isReady ? SandboxService.ready : SandboxService.notReady
        answer.createdAt = sandbox.createdAt
        if case .stopped(let time) = sandbox.phase { answer.exitedAt = time }
        if request.verbose {
            answer.info = ["netns": sandbox.netnsPath, "shim": ShimVersion.current, "tasks": String(tasks.count)]
        }
        return answer
    }

    func pingSandbox(_ request: PingRequest) throws(BerthError) -> PingResponse {
        _ = try sandbox(request.sandboxID)
        return PingResponse()
    }

    func sandboxMetrics(_ request: SandboxMetricsRequest) throws(BerthError) -> SandboxMetricsResponse {
        let sandbox = try sandbox(request.sandboxID)
        guard let pod = sandbox.pod else {
            throw BerthError(.failedPrecondition, "metrics of sandbox '\(sandbox.id)': it is not running")
        }
        var metric = MetricMessage()
        metric.timestamp = .now()
        metric.id = sandbox.id
        metric.data = try pod.stats().metrics(isV2: pod.usesCgroupV2)
        var answer = SandboxMetricsResponse()
        answer.metrics = metric
        return answer
    }

    func platform() -> PlatformResponse {
        var message = PlatformMessage()
        message.os = "linux"
        #if arch(arm64)
            message.architecture = "arm64"
        #else
            message.architecture = "amd64"
        #endif
        var answer = PlatformResponse()
        answer.platform = message
        return answer
    }
}

extension StartSandboxResponse {
    init(_ pid: Int32, _ time: Timestamp) {
        self.init()
        self.pid = UInt32(pid)
        createdAt = time
    }
}

extension WaitSandboxResponse {
    init(at time: Timestamp) {
        self.init()
        exitedAt = time
    }
}
