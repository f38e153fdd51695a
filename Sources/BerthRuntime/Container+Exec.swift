package import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension Container {
    /// Runs one more process in the container. The process is the caller's child.
    package func exec(_ request: ExecRequest) throws(BerthError) -> LaunchedProcess {
        try SpecCheck.check(request.process)
        let status = self.status
        guard status != .stopped else {
            throw BerthError(.failedPrecondition, "exec in container '\(id)': it is not running")
        }
        guard status != .paused else {
            throw BerthError(.failedPrecondition, "exec in container '\(id)': it is paused; resume it first")
        }
        var plan = InitPlan()
        try plan.add(.nonDumpable)
        try addCgroup(to: &plan)
        try addNamespaces(to: &plan)
        let seccomp =
            try spec.linux?.seccomp.map { filter throws(BerthError) in
                try SeccompCache(environment.cacheRoot.string).program(for: filter)
            } ?? nil
        var steps = ProcessSteps(process: request.process, stdio: request.stdio, seccomp: seccomp)
        steps.keyring = record.noNewKeyring ? nil : "_ses." + id
        steps.preserved = request.preserveFDs
        steps.opensConsole = true
        steps.personality = spec.linux?.personality
        try steps.add(to: &plan)
        var launcher = try launch(plan, request)
        var part = Launcher.Part()
        let score = request.process.oomScoreAdj
        part.onProcess = { pid throws(BerthError) in try OOMScore.set(score, of: pid) }
        try launcher.serve(part)
        try launcher.start(state: [])
        return launcher.finish()
    }

    private func launch(_ plan: borrowing InitPlan, _ request: ExecRequest) throws(BerthError) -> Launcher {
        let program = try InitProgram.descriptor(of: environment.initPath)
        var into: OwnedFD?
        if let cgroup, cgroup.host.isV2 {
            into = try attempting("open the cgroup '\(cgroup.path)'") { () throws(Errno) in
                try Files.open(cgroup.directories[0], Files.pathOnly | O_DIRECTORY)
            }
        }
        let target = into?.rawValue
        let launcher = try Launcher(
            plan, program: program, namespaces: [], cgroup: target, preserved: request.preserveFDs)
        FaultPoint.hit("runtime.after-exec-clone")
        return launcher
    }

    private func addCgroup(to plan: inout InitPlan) throws(BerthError) {
        guard let cgroup, !cgroup.host.isV2 else { return }
        let files = try attempting("open the cgroup '\(cgroup.path)'") { () throws(Errno) in try cgroup.taskFiles() }
        for file in files { try plan.add(.cgroup, owned: OwnedFD(file), cgroup.path) }
    }

    /// Enters every namespace in which the container's first process is not with us; the pid namespace by a fork at the
    /// end, when nothing of the host is within reach any more.
    private func addNamespaces(to plan: inout InitPlan) throws(BerthError) {
        let kinds: [OCINamespaceType] = [.ipc, .uts, .network, .cgroup, .time, .pid, .mount, .user]
        var forks = false
        for kind in kinds {
            let file = try attempting("open the \(kind.rawValue) namespace of container '\(id)'") {
                () throws(Errno) -> OwnedFD? in
                let theirs = try Files.open("/proc/\(record.pid)/ns/\(kind.procName)", O_RDONLY)
                let ours = try Files.open("/proc/thread-self/ns/\(kind.procName)", O_RDONLY)
                let same = try Files.status(of: theirs.rawValue).inode == Files.status(of: ours.rawValue).inode
                if same { return nil }
                return consume theirs
            }
            guard let file else { continue }
            try plan.add(.setns, owned: file, kind.rawValue, a: kind.flag.rawValue)
            if kind == .user { try plan.add(.map, a: 0) }
            if kind == .pid || kind == .time { forks = true }
        }
        // Between our look at the process and the opening of its namespaces the pid must not have changed hands.
        guard isAlive else {
            throw BerthError(.failedPrecondition, "exec in container '\(id)': it ended meanwhile")
        }
        if forks { try plan.add(.fork) }
    }
}
