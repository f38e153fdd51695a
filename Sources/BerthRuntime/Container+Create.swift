package import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension Container {
    /// Makes the container and its process, which waits for `start`.
    ///
    /// - Throws: what failed, after everything made for it was removed again.
    package static func create(
        _ request: ContainerRequest, in environment: RuntimeEnvironment
    ) throws(BerthError) -> CreatedContainer {
        try make(request, in: environment, runsAtOnce: false)
    }

    /// Makes the container and starts it in one go, which spares the wait of the process for `start`.
    package static func run(
        _ request: ContainerRequest, in environment: RuntimeEnvironment
    ) throws(BerthError) -> CreatedContainer {
        try make(request, in: environment, runsAtOnce: true)
    }

    /// Removes the directory of a container whose creation was cut off before its record was written.
    package static func forget(_ id: String, in environment: RuntimeEnvironment) throws(BerthError) {
        try SpecCheck.checkID(id)
        try StateDirectory(id, in: environment).remove()
    }

    private static func make(
        _ request: ContainerRequest, in environment: RuntimeEnvironment, runsAtOnce: Bool
    ) throws(BerthError) -> CreatedContainer {
        try SpecCheck.check(request.spec, id: request.id)
        if environment.systemdCgroup {
            throw BerthError(.unimplemented, "the systemd cgroup driver is not supported yet; use cgroupfs")
        }
        let directory = StateDirectory(request.id, in: environment)
        try directory.make(root: environment.stateRoot, id: request.id)
        var making = try Making(request, in: environment, directory, runsAtOnce: runsAtOnce)
        do {
            return try making.run()
        } catch {
            making.undo()
            throw error
        }
    }
}

/// The making of one container: each step leaves what `undo` needs to take it back.
private struct Making {
    let request: ContainerRequest
    let environment: RuntimeEnvironment
    let directory: StateDirectory
    let runsAtOnce: Bool
    let linux: OCILinux
    private var cgroup: Cgroup?
    /// Whether the cgroup was there before us: then it is not ours to remove.
    private var cgroupIsForeign = false

    init(
        _ request: ContainerRequest, in environment: RuntimeEnvironment, _ directory: StateDirectory,
        runsAtOnce: Bool
    ) throws(BerthError) {
        self.request = request
        self.environment = environment
        self.directory = directory
        self.runsAtOnce = runsAtOnce
        linux = request.spec.linux ?? OCILinux()
    }

    mutating func run() throws(BerthError) -> CreatedContainer {
        try chooseCgroup()
        let seccomp = try compile()
        let namespaces = try NamespaceSteps(linux, pod: request.podNamespaces)
        var plan = InitPlan()
        var listening: Int32?
        if !runsAtOnce {
            let listener = try listen()
            listening = listener.rawValue
            plan.own(listener)
        }
        let steps = ContainerPlan(
            request: request, linux: linux, userNamespace: namespaces.hasUser,
            makesCgroupNamespace: namespaces.makesCgroup, cgroup: cgroup)
        let cgroupFirst = steps.needsCgroupFirst
        if cgroupFirst { try makeCgroup() }
        try steps.add(to: &plan, namespaces, seccomp: seccomp, listener: listening)
        return try launch(plan, namespaces, cgroupIsReady: cgroupFirst)
    }

    private func listen() throws(BerthError) -> OwnedFD {
        try attempting("make the start socket in '\(directory.path)'") { () throws(Errno) in
            let folder = try Files.directory(directory.path)
            return try Messages.listen(at: StateDirectory.startSocket, below: folder.rawValue)
        }
    }

    private func compile() throws(BerthError) -> SeccompProgram? {
        guard let seccomp = linux.seccomp else { return nil }
        return try SeccompCache(environment.cacheRoot.string).program(for: seccomp)
    }

    /// The path is the specification's; relative ones and none start at the hierarchy's root.
    private mutating func chooseCgroup() throws(BerthError) {
        let path = linux.cgroupsPath.flatMap { $0.isEmpty ? nil : $0 } ?? "/" + request.id
        guard !path.split(separator: "/").contains(".."), !path.utf8.contains(0) else {
            throw BerthError(.invalidArgument, "linux.cgroupsPath '\(path)' leaves its hierarchy")
        }
        let host = try attempting("look at the host's cgroups") { () throws(Errno) in try CgroupHost.current() }
        let cgroup = Cgroup(host: host, path: path)
        cgroupIsForeign = cgroup.exists
        self.cgroup = cgroup
    }

    private func makeCgroup() throws(BerthError) {
        guard let cgroup else { return }
        try attempting("make the cgroup '\(cgroup.path)'") { () throws(Errno) in try cgroup.create() }
        if let resources = linux.resources {
            try CgroupResources(cgroup: cgroup, resources: resources).apply()
        }
        FaultPoint.hit("runtime.after-cgroup")
    }

    private func launch(
        _ plan: borrowing InitPlan, _ namespaces: borrowing NamespaceSteps, cgroupIsReady: Bool
    ) throws(BerthError) -> CreatedContainer {
        let program = try InitProgram.descriptor(of: environment.initPath)
        var into: OwnedFD?
        if let cgroup, cgroup.host.isV2 {
            into = try attempting("open the cgroup '\(cgroup.path)'") { () throws(Errno) in
                try Files.open(cgroup.directories[0], Files.pathOnly | O_DIRECTORY)
            }
        }
        let target = into?.rawValue
        var launcher = try Launcher(
            plan, program: program, namespaces: namespaces.cloneFlags, cgroup: target,
            preserved: request.preserveFDs)
        FaultPoint.hit("runtime.after-clone")
        do throws(BerthError) {
            // From here the child works beside us: what it does not wait for comes after what it waits for.
            if !cgroupIsReady { try makeCgroup() }
            try handCgroup(to: launcher)
            let early = namespaces.needsFork ? nil : try record(pid: launcher.pid)
            try launcher.serve(part())
            FaultPoint.hit("runtime.after-ready")
            let made: Container
            if let early { made = early } else { made = try record(pid: launcher.pid) }
            if runsAtOnce {
                try launcher.start(state: try OCIJSON.encode(made.state(as: .created)))
            }
            return CreatedContainer(container: made, process: launcher.finish())
        } catch {
            launcher.abandon()
            throw error
        }
    }

    /// On v1 the child moves itself, through the files of the hierarchies.
    private func handCgroup(to launcher: borrowing Launcher) throws(BerthError) {
        guard let cgroup, !cgroup.host.isV2 else { return }
        let files = try attempting("open the cgroup '\(cgroup.path)'") { () throws(Errno) in try cgroup.taskFiles() }
        defer { for file in files { close(file) } }
        try launcher.send(files)
    }

    private func part() -> Launcher.Part {
        let score = request.spec.process?.oomScoreAdj
        let linux = linux, request = request
        return Launcher.Part(
            onProcess: { pid throws(BerthError) in try OOMScore.set(score, of: pid) },
            writeMaps: { pid throws(BerthError) in
                try UserNamespaces.writeMaps(of: pid, uids: linux.uidMappings ?? [], gids: linux.gidMappings ?? [])
            },
            sync: { point, pid throws(BerthError) in
                switch point {
                case .timeOffsets:
                    let lines = try NamespaceSteps.offsetLines(linux.timeOffsets ?? [:])
                    try HostProc.write("\(pid)/timens_offsets", lines)
                    return [1]
                case .runtimeHooks:
                    let state = Making.state(request, pid: pid)
                    try Hooks.run(request.spec.hooks?.prestart, "prestart", state: state)
                    try Hooks.run(request.spec.hooks?.createRuntime, "createRuntime", state: state)
                    return [1]
                case .containerHooks:
                    return try OCIJSON.encode(Making.state(request, pid: pid))
                }
            })
    }

    private static func state(_ request: ContainerRequest, pid: Int32) -> OCIState {
        OCIState(
            id: request.id, status: .creating, pid: pid, bundle: request.bundle.string,
            annotations: request.spec.annotations)
    }

    private func record(pid: Int32) throws(BerthError) -> Container {
        guard let status = ProcessStatus(pid) else {
            throw BerthError(.aborted, "the process of container '\(request.id)' is gone")
        }
        var now = timespec()
        // SAFETY: the structure lives through the call.
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        let record = ContainerRecord(
            id: request.id, bundle: request.bundle.string, pid: pid, startTime: status.startTime,
            created: Double(now.tv_sec) + Double(now.tv_nsec) / 1e9, cgroupPath: cgroup?.path,
            annotations: request.spec.annotations, rootfs: rootfsName, noNewKeyring: request.noNewKeyring)
        if request.keepsSpec { try directory.write(request.spec, json: request.specJSON) }
        try directory.write(record)
        return Container(record, spec: request.spec, cgroup: cgroup, environment: environment)
    }

    private var rootfsName: String {
        switch request.rootfs {
        case .path(let path): path.string
        case .mounts(let mounts): mounts.first?.type ?? ""
        }
    }

    /// Takes everything back; what cannot be removed is left for `delete --force`.
    func undo() {
        if let cgroup, !cgroupIsForeign { try? cgroup.remove() }
        try? directory.remove()
    }
}

/// The kernel's preference of whom to kill when memory runs out.
enum OOMScore {
    /// Sets a process's score; one below our own takes CAP_SYS_RESOURCE. Then it keeps ours, and that is reported.
    static func set(_ score: Int?, of pid: Int32) throws(BerthError) -> [String] {
        guard let score else { return [] }
        guard (-1000...1000).contains(score) else {
            throw BerthError(.invalidArgument, "process.oomScoreAdj \(score) is not between -1000 and 1000")
        }
        do {
            try HostProc.write("\(pid)/oom_score_adj", String(score))
            return []
        } catch {
            guard error.code == .permissionDenied else { throw error }
            return [
                "process.oomScoreAdj \(score) is below the runtime's own and was not set: it takes CAP_SYS_RESOURCE"
            ]
        }
    }
}
