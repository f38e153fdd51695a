internal import BerthBase
internal import BerthOCI
internal import BerthSystem

/// The last steps of a process, the same for a container's first one and for an `exec`.
struct ProcessSteps {
    let process: OCIProcess
    let stdio: ProcessStdio
    let seccomp: SeccompProgram?
    var keyring: String?
    var preserved = 0
    /// A listener on which `start` comes; nil: it comes on the runtime's channel.
    var listener: Int32?
    var startHooks: [OCIHook] = []
    var personality: OCIPersonality?
    var memoryPolicy: OCIMemoryPolicy?
    /// Whether the terminal is opened here: an `exec` enters a container whose /dev is ready.
    var opensConsole = false
    /// Whether setgroups is allowed: not in a user namespace that an unprivileged runtime made.
    var setsGroups = true

    func add(to plan: inout InitPlan) throws(BerthError) {
        if let keyring { try plan.add(.keyring, keyring) }
        for limit in process.rlimits ?? [] { try add(limit, to: &plan) }
        try addStreams(to: &plan)
        try addScheduling(to: &plan)
        try addAppArmor(to: &plan)
        try plan.add(.cwd, process.cwd)
        let sets = try CapabilitySets(process.capabilities)
        let noNewPrivileges = process.noNewPrivileges == true
        try plan.add(.bounding, a: sets.bounding, b: UInt64(Capabilities.last) + 1)
        try addUser(to: &plan)
        // A filter without no_new_privs needs CAP_SYS_ADMIN: then it is kept in the permitted set until the filter is
        // in.
        let keeps = seccomp != nil && !noNewPrivileges
        let admin: UInt64 = 1 << 21
        try addCapabilities(sets, extra: keeps ? admin : 0, effective: 0, to: &plan)
        if !keeps { try plan.add(.ambient, a: sets.ambient) }
        try addProgram(to: &plan)
        try plan.add(.ready)
        if let listener { try plan.add(.start, fd: listener) } else { try plan.add(.start) }
        for hook in startHooks { try ProcessSteps.add(hook, to: &plan) }
        if noNewPrivileges { try plan.add(.noNewPrivileges) }
        if keeps { try addCapabilities(sets, extra: admin, effective: admin, to: &plan) }
        try plan.add(.closeOnExec, a: UInt64(3 + preserved))
        if let seccomp {
            try plan.add(.seccomp, fd: -1, a: seccomp.flags, b: 0, c: 0, seccomp.program, [])
        }
        if keeps {
            try addCapabilities(sets, extra: 0, effective: 0, to: &plan)
            try plan.add(.ambient, a: sets.ambient)
        }
        try plan.add(.execute)
    }

    private func addCapabilities(
        _ sets: CapabilitySets, extra: UInt64, effective: UInt64, to plan: inout InitPlan
    ) throws(BerthError) {
        try plan.add(
            .capabilities, a: sets.effective | effective, b: sets.permitted | extra, c: sets.inheritable)
    }

    private func add(_ limit: OCIRlimit, to plan: inout InitPlan) throws(BerthError) {
        let names = [
            "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
            "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE",
            "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
        ]
        guard let number = names.firstIndex(of: limit.type) else {
            throw BerthError(.invalidArgument, "process.rlimits: '\(limit.type)' is unknown")
        }
        guard limit.soft <= limit.hard else {
            throw BerthError(.invalidArgument, "process.rlimits: \(limit.type) has a soft limit above its hard one")
        }
        try plan.add(.rlimit, limit.type, a: UInt64(number), b: limit.soft, c: limit.hard)
    }

    private func addStreams(to plan: inout InitPlan) throws(BerthError) {
        try plan.add(.setsid)
        switch stdio {
        case .inherit: break
        case .descriptors(let stdin, let stdout, let stderr):
            for fd in [stdin, stdout, stderr] { plan.keep(fd) }
            try plan.add(.stdio, fd: stdin, fd2: stdout, a: UInt64(stderr), b: 0, c: 0, [], [])
        case .terminal(let size):
            if opensConsole {
                try plan.add(.console, a: 0, b: UInt64(size?.height ?? 0), c: UInt64(size?.width ?? 0))
            }
            try plan.add(.stdio)
            try plan.add(.controllingTerminal)
        }
    }

    private func addScheduling(to plan: inout InitPlan) throws(BerthError) {
        if let personality { try plan.add(.personality, a: try Scheduling.domain(personality)) }
        if let priority = process.ioPriority { try plan.add(.ioPriority, a: try Scheduling.priority(priority)) }
        if let scheduler = process.scheduler {
            try plan.add(.scheduler, fd: -1, a: 0, b: 0, c: 0, try Scheduling.attributes(scheduler), [])
        }
        if let memoryPolicy {
            let policy = try Scheduling.policy(memoryPolicy)
            try plan.add(.memoryPolicy, fd: -1, a: policy.mode, b: 0, c: 0, policy.nodes, [])
        }
        if let list = process.execCPUAffinity?.final, !list.isEmpty {
            try plan.add(.affinity, fd: -1, a: 0, b: 0, c: 0, try Scheduling.mask(list, "process.execCPUAffinity"), [])
        }
    }

    private func addAppArmor(to plan: inout InitPlan) throws(BerthError) {
        guard let profile = process.apparmorProfile, !profile.isEmpty else { return }
        try plan.add(.procfs)
        let value = Array("exec \(profile)".utf8)
        try plan.add(.procWrite, fd: -1, a: 0, b: 0, c: 0, Array("self/attr/apparmor/exec".utf8), value)
    }

    private func addUser(to plan: inout InitPlan) throws(BerthError) {
        let user = process.user ?? OCIUser()
        var groups: [UInt8] = []
        for group in user.additionalGids ?? [] { groups.append(littleEndian: group) }
        try plan.add(
            .user, fd: setsGroups ? 1 : 0, a: UInt64(user.uid), b: UInt64(user.gid), c: UInt64(user.umask ?? 0o022),
            groups, [])
    }

    private func addProgram(to plan: inout InitPlan) throws(BerthError) {
        let args = process.args ?? []
        var environment = process.env ?? []
        if !environment.contains(where: { $0.hasPrefix("HOME=") }) { environment.append("HOME=" + home) }
        try plan.add(
            .arguments, fd: -1, a: UInt64(args.count), b: 0, c: 0, try .strings(args, "process.args"), [])
        try plan.add(
            .environment, fd: -1, a: UInt64(environment.count), b: 0, c: 0, try .strings(environment, "process.env"),
            [])
        let path = environment.last { $0.hasPrefix("PATH=") }?.dropFirst(5)
        try plan.add(.find, path.map(String.init) ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }

    /// Whoever makes the specification knows the user's home from the image; without it root's is the guess.
    private var home: String { (process.user?.uid ?? 0) == 0 ? "/root" : "/" }

    /// Adds a hook that berth-init itself runs; its state comes with the answer to the step before.
    static func add(_ hook: OCIHook, to plan: inout InitPlan) throws(BerthError) {
        guard hook.path.hasPrefix("/") else {
            throw BerthError(.invalidArgument, "hook '\(hook.path)' is not an absolute path")
        }
        let args = hook.args ?? [hook.path], environment = hook.env ?? []
        let words = try [UInt8].strings(args + environment, "hook")
        try plan.add(
            .hook, fd: -1, a: UInt64(args.count), b: UInt64(environment.count),
            c: UInt64(max(hook.timeout ?? 0, 0)) * 1000, Array(hook.path.utf8), words)
    }
}

/// The five sets as bits.
struct CapabilitySets {
    var bounding: UInt64 = 0
    var effective: UInt64 = 0
    var inheritable: UInt64 = 0
    var permitted: UInt64 = 0
    var ambient: UInt64 = 0

    /// - Throws: `invalidArgument` for a name that no kernel knows, or one the runtime lacks itself.
    init(_ sets: OCICapabilities?) throws(BerthError) {
        guard let sets else { return }
        bounding = try CapabilitySets.mask(sets.bounding)
        permitted = try CapabilitySets.mask(sets.permitted)
        effective = try CapabilitySets.mask(sets.effective) & permitted
        inheritable = try CapabilitySets.mask(sets.inheritable)
        ambient = try CapabilitySets.mask(sets.ambient) & permitted & inheritable
    }

    /// Capabilities that the runtime has not are left out, as runc does with a warning: nobody can give what he lacks.
    private static func mask(_ names: [String]?) throws(BerthError) -> UInt64 {
        var mask: UInt64 = 0
        for name in names ?? [] {
            guard let number = Capabilities.number(of: name) else {
                throw BerthError(.invalidArgument, "process.capabilities: '\(name)' is unknown to this kernel")
            }
            mask |= 1 << UInt64(number)
        }
        return mask & held
    }

    private static let held = Capabilities.bounding()
}
