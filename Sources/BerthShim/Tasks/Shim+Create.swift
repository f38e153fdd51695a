internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem
internal import SystemPackage

/// A new process as it comes back from the thread that launched it; the descriptors are the receiver's to close.
struct Launched: Sendable {
    var container: Container
    var pid: Int32
    var pidfd: Int32
    var console: Int32?
    var warnings: [String]

    init(_ container: Container, _ process: consuming LaunchedProcess) {
        let parts = process.release()
        self.container = container
        (pid, pidfd, console, warnings) = parts
    }
}

extension Shim {
    func create(_ request: CreateTaskRequest, _ call: RPCCall) throws(BerthError) {
        guard tasks[request.id] == nil else { throw BerthError(.alreadyExists, "task '\(request.id)' exists already") }
        guard request.checkpoint.isEmpty else {
            throw BerthError(.unimplemented, "create task '\(request.id)': restoring a checkpoint is not supported")
        }
        let options = try Shim.options(request.options)
        let task = RunningTask(id: request.id, bundle: request.bundle)
        let spec = try specification(of: task)
        let stdio = StdioRequest(
            stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal)
        let process = task.process(stdio)
        let streams = try ProcessStreams(
            stdio, owner: Shim.owner(spec.process, spec.linux), size: spec.process?.consoleSize,
            logger: LoggerContext(container: request.id, namespace: context.namespace), relay: relay)
        process.streams = streams
        task.sharesPids = spec.linux?.namespaces?.contains { $0.type == .pid && ($0.path ?? "").isEmpty } != true
        let plan = try RootfsPlan(request.rootfs, bundle: request.bundle, root: spec.root?.path)
        var wanted = ContainerRequest(
            id: request.id, bundle: FilePath(request.bundle), spec: spec, rootfs: plan.source, stdio: streams.stdio)
        wanted.noPivot = options.noPivotRoot
        wanted.noNewKeyring = options.noNewKeyring
        wanted.keepsSpec = false
        wanted.podNamespaces = sandbox?.namespaces ?? [:]
        task.mountedRootfs = plan.mountPoint
        tasks[request.id] = task
        launch(task, wanted, plan, request, call)
    }

    private func launch(
        _ task: RunningTask, _ wanted: ContainerRequest, _ plan: RootfsPlan, _ request: CreateTaskRequest,
        _ call: RPCCall
    ) {
        let environment = environment(bundle: task.bundle)
        try? task.inTurn { [unowned self] done in
            offload.run { () throws(BerthError) -> Launched in
                try plan.mount()
                do throws(BerthError) {
                    let made = try Container.create(wanted, in: environment)
                    let container = made.container
                    return Launched(container, made.releaseProcess())
                } catch {
                    plan.unmount()
                    throw error
                }
            } then: { [unowned self] result in
                switch result {
                case .success(let launched): created(task, launched, request, call)
                case .failure(let error):
                    task.process().streams?.close()
                    tasks[task.id] = nil
                    task.dissolve()
                    log.write(.error, "create task '\(task.id)': \(error)")
                    call.fail(error.during("create task '\(task.id)'"))
                }
                done()
            }
        }
    }

    private func created(_ task: RunningTask, _ launched: Launched, _ request: CreateTaskRequest, _ call: RPCCall) {
        let process = task.process()
        task.container = launched.container
        for warning in launched.warnings { log.write(.warning, "task '\(task.id)': \(warning)") }
        adopt(process, launched)
        task.oomWatch = OOMWatch(launched.container, loop: loop) { [unowned self, unowned task] in ranOutOfMemory(task)
        }
        apply(.created(pid: launched.pid), to: process, rootfs: request.rootfs)
        var answer = CreateTaskResponse()
        answer.pid = UInt32(launched.pid)
        whenLoggerIsReady(process) { error in
            if let error { call.fail(error) } else { call.answer(answer) }
        }
    }

    /// Begins to copy for a process, and to wait for its end.
    func adopt(_ process: RunningProcess, _ launched: Launched) {
        // The pid is safe without its descriptor: it is a child's that only this process reaps.
        _ = OwnedFD(launched.pidfd)
        do throws(BerthError) { try process.streams?.attach(console: launched.console.map { OwnedFD($0) }) } catch {
            log.write(.error, "\(process.machine.name): \(error)")
        }
        let pid = launched.pid
        reaper.expect(pid) { [self] outcome in ended(process, outcome) }
    }

    private func whenLoggerIsReady(_ process: RunningProcess, _ body: @escaping (BerthError?) -> Void) {
        guard let logger = process.streams?.logger else { return body(nil) }
        reaper.expect(logger.pid) { _ in }
        var timer: EventLoop.TimerID?
        let finish = { [loop] (error: BerthError?) in
            guard process.streams?.logger != nil else { return }
            loop.forget(logger.ready.number)
            loop.cancel(timer)
            process.streams?.forgetLogger()
            body(error)
        }
        timer = loop.after(LoggerProcess.patience) {
            finish(BerthError(.deadlineExceeded, "logger '\(logger.path)': not ready within \(LoggerProcess.patience)"))
        }
        do { try loop.watch(logger.ready.number, .input) { _ in finish(nil) } } catch {
            finish(BerthError(error, "wait for the logger '\(logger.path)'"))
        }
    }

    // MARK: What is asked for

    private func specification(of task: RunningTask) throws(BerthError) -> OCISpec {
        let path = task.bundle + "/config.json"
        let bytes = try attempting("read '\(path)'") { () throws(Errno) in try Files.read(path) }
        var spec = try OCISpec(json: bytes)
        if let sandbox { sandbox.resolveNamespaces(of: &spec) }
        return spec
    }

    private static func options(_ any: WireAny?) throws(BerthError) -> RuncOptions {
        guard let any, !any.typeURL.isEmpty else { return RuncOptions() }
        let options: RuncOptions?
        do { options = try any.unpack(RuncOptions.self) } catch { throw BerthError.wrapping(error) }
        guard let options else {
            throw BerthError(.invalidArgument, "options of type '\(any.typeURL)' are not this runtime's")
        }
        guard options.binaryName.isEmpty || options.binaryName.hasSuffix("berth-oci") else {
            throw BerthError(
                .unimplemented, "option binary_name '\(options.binaryName)': this shim has its runtime within itself")
        }
        guard !options.systemdCgroup else {
            throw BerthError(.unimplemented, "option systemd_cgroup: only the cgroupfs driver is supported")
        }
        return options
    }

    /// Whom the streams of a process belong to on the host.
    static func owner(_ process: OCIProcess?, _ linux: OCILinux?) -> StreamOwner {
        func outside(_ id: UInt32, _ maps: [OCIIDMapping]?) -> UInt32 {
            guard let maps, !maps.isEmpty else { return id }
            let map = maps.first { id >= $0.containerID && id - $0.containerID < $0.size }
            return map.map { $0.hostID + (id - $0.containerID) } ?? id
        }
        let user = process?.user
        return StreamOwner(
            uid: outside(user?.uid ?? 0, linux?.uidMappings), gid: outside(user?.gid ?? 0, linux?.gidMappings))
    }
}
