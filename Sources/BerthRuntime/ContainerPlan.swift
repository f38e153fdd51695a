internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Turns a specification into the steps of a new container's process.
struct ContainerPlan {
    let request: ContainerRequest
    let linux: OCILinux
    let userNamespace: Bool
    let makesCgroupNamespace: Bool
    let cgroup: Cgroup?

    /// All steps up to the wait for `start`, and those after it.
    ///
    /// - Parameter listener: where the process waits for `start`; nil: on the channel to the runtime itself.
    func add(
        to plan: inout InitPlan, _ namespaces: borrowing NamespaceSteps, seccomp: SeccompProgram?, listener: Int32?
    ) throws(BerthError) {
        try namespaces.add(to: &plan, joinsCgroup: cgroup?.host.isV2 == false)
        if namespaces.makesNetwork { try plan.add(.loopback) }
        let hooks = request.spec.hooks
        if !(hooks?.prestart ?? []).isEmpty || !(hooks?.createRuntime ?? []).isEmpty {
            try plan.add(.sync, a: SyncPoint.runtimeHooks.rawValue)
        }
        try addRoot(to: &plan)
        try addMounts(to: &plan)
        try addDevices(to: &plan)
        if case .terminal(let size) = request.stdio {
            try plan.add(.console, a: 1, b: UInt64(size?.height ?? 0), c: UInt64(size?.width ?? 0))
        }
        if let hooks = hooks?.createContainer, !hooks.isEmpty {
            try plan.add(.sync, a: SyncPoint.containerHooks.rawValue)
            for hook in hooks { try ProcessSteps.add(hook, to: &plan) }
        }
        try addSysctls(to: &plan)
        for path in linux.maskedPaths ?? [] { try plan.add(.mask, path) }
        for path in linux.readonlyPaths ?? [] { try plan.add(.readonly, path) }
        if let process = request.spec.process { try plan.add(.mkdir, process.cwd) }
        try addPivot(to: &plan)
        try addNames(to: &plan)
        try addProcess(to: &plan, seccomp: seccomp, listener: listener)
    }

    /// Whether the plan itself looks into the cgroup, which must then be there before.
    var needsCgroupFirst: Bool {
        cgroup?.host.isV2 == true
            || !makesCgroupNamespace
                && (request.spec.mounts ?? []).contains { $0.type == "cgroup" || $0.type == "cgroup2" }
    }

    // MARK: The root

    private func addRoot(to plan: inout InitPlan) throws(BerthError) {
        // Nothing that happens in here reaches the host; with a shared root, the mounts themselves are shared later.
        let flags: UInt64 = try rootPropagation() == .slave ? 0x8_0000 : 0x4_0000
        try plan.add(.propagation, "/", a: flags | 0x4000)
        let root = try RootfsMount.make(request.rootfs)
        try attempting("make the root private") { () throws(Errno) in
            try Mounts.setAttributes(root.rawValue, propagation: .private, recursive: false)
        }
        try plan.add(.rootfs, owned: root)
    }

    /// What mounts of the container exchange with the host's.
    func rootPropagation() throws(BerthError) -> Mounts.Propagation {
        switch linux.rootfsPropagation ?? "" {
        case "", "slave", "rslave": return .slave
        case "private", "rprivate": return .private
        case "shared", "rshared": return .shared
        case "unbindable", "runbindable": return .unbindable
        default:
            throw BerthError(.invalidArgument, "linux.rootfsPropagation '\(linux.rootfsPropagation ?? "")' is unknown")
        }
    }

    private func addPivot(to plan: inout InitPlan) throws(BerthError) {
        try plan.add(.pivot, a: request.noPivot ? 1 : 0)
        if let name = linux.rootfsPropagation, !name.isEmpty {
            let recursive: UInt64 = name.hasPrefix("r") ? 0x4000 : 0
            try plan.add(.propagation, "/", a: try rootPropagation().rawValue | recursive)
        }
        for path in lateReadOnly { try plan.add(.setAttributes, path, a: Mounts.Attributes.readOnly.rawValue) }
        if request.spec.root?.readonly == true {
            try plan.add(.setAttributes, "/", a: Mounts.Attributes.readOnly.rawValue)
        }
    }

    private func addNames(to plan: inout InitPlan) throws(BerthError) {
        if let name = request.spec.hostname, !name.isEmpty { try plan.add(.hostname, name) }
        if let name = request.spec.domainname, !name.isEmpty { try plan.add(.domainname, name) }
    }

    /// Before anything is masked: in a user namespace the kernel gives a new procfs only to those who see all of one.
    private func addSysctls(to plan: inout InitPlan) throws(BerthError) {
        guard let sysctls = linux.sysctl, !sysctls.isEmpty else { return }
        try plan.add(.procfs)
        for (name, value) in sysctls.sorted(by: { $0.key < $1.key }) {
            let path = "sys/" + SpecCheck.sysctlPath(name)
            try plan.add(.procWrite, fd: -1, a: 0, b: 0, c: 0, Array(path.utf8), Array(value.utf8))
        }
    }

    // MARK: The process

    private func addProcess(
        to plan: inout InitPlan, seccomp: SeccompProgram?, listener: Int32?
    ) throws(BerthError) {
        guard let process = request.spec.process else { return }
        var steps = ProcessSteps(process: process, stdio: request.stdio, seccomp: seccomp)
        steps.keyring = request.noNewKeyring ? nil : "_ses." + request.id
        steps.preserved = request.preserveFDs
        steps.listener = listener
        steps.startHooks = request.spec.hooks?.startContainer ?? []
        steps.personality = linux.personality
        steps.memoryPolicy = linux.memoryPolicy
        try steps.add(to: &plan)
    }
}
