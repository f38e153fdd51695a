internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Makes a pod's namespaces by a process that enters them and tells when it is there; then they are held by descriptors
/// and the process ends, unless it is the first one of a pid namespace.
struct NamespaceHolder {
    let spec: OCISpec
    let linux: OCILinux
    let cgroup: Cgroup?
    let environment: RuntimeEnvironment

    struct Held {
        let namespaces: [OCINamespaceType: Int32]
        /// The first process of the pid namespace, the caller's child; nil if none was made.
        let reaper: Int32?
    }

    private var wanted: [OCINamespace] { (linux.namespaces ?? []).filter { $0.type != .mount && $0.type != .cgroup } }
    private func makes(_ type: OCINamespaceType) -> Bool {
        wanted.contains { $0.type == type && ($0.path ?? "").isEmpty }
    }
    private var makesPid: Bool { makes(.pid) }

    /// The namespaces; nothing is left of a failed attempt.
    func make() throws(BerthError) -> Held {
        guard Pod.shared.contains(where: { type in wanted.contains { $0.type == type } }) else {
            return Held(namespaces: [:], reaper: nil)
        }
        var own = linux
        own.namespaces = wanted
        // The reaper must not show the host's files to whoever can look at the first process of the pod.
        if makesPid { own.namespaces?.append(OCINamespace(.mount)) }
        let steps = try NamespaceSteps(own, pod: [:])
        let joinsCgroup = makesPid && cgroup?.host.isV2 == false
        var plan = InitPlan()
        if linux.sysctl?.isEmpty == false { try plan.add(.procfs) }
        try steps.add(to: &plan, joinsCgroup: joinsCgroup)
        try addNames(to: &plan)
        if makesPid { try addReaper(to: &plan) }
        try plan.add(.ready)
        try plan.add(.start)
        if makesPid { try plan.add(.reap) }
        return try launch(plan, steps, joinsCgroup: joinsCgroup)
    }

    private func addNames(to plan: inout InitPlan) throws(BerthError) {
        if let name = spec.hostname, !name.isEmpty {
            guard wanted.contains(where: { $0.type == .uts }) else {
                throw BerthError(.invalidArgument, "hostname '\(name)' needs a uts namespace in linux.namespaces")
            }
            try plan.add(.hostname, name)
        }
        for (name, value) in (linux.sysctl ?? [:]).sorted(by: { $0.key < $1.key }) {
            try SpecCheck.checkSysctl(name, linux)
            let path = "sys/" + SpecCheck.sysctlPath(name)
            try plan.add(.procWrite, fd: -1, a: 0, b: 0, c: 0, Array(path.utf8), Array(value.utf8))
        }
    }

    /// An empty root, and no right to anything.
    private func addReaper(to plan: inout InitPlan) throws(BerthError) {
        let root = try attempting("make an empty root") { () throws(Errno) in
            let context = try FileSystemContext("tmpfs")
            try context.set("size", "4k")
            return try context.mount([.readOnly, .noSuid, .noDev, .noExec])
        }
        try plan.add(.propagation, "/", a: 0x4_0000 | 0x4000)
        try plan.add(.rootfs, owned: root)
        try plan.add(.pivot)
        try plan.add(.setsid)
        try plan.add(.bounding, a: 0, b: UInt64(Capabilities.last) + 1)
        try plan.add(.capabilities, a: 0, b: 0, c: 0)
        try plan.add(.noNewPrivileges)
    }

    private func launch(
        _ plan: borrowing InitPlan, _ steps: borrowing NamespaceSteps, joinsCgroup: Bool
    ) throws(BerthError) -> Held {
        let program = try InitProgram.descriptor(of: environment.initPath)
        var into: OwnedFD?
        if makesPid, let cgroup, cgroup.host.isV2 {
            into = try attempting("open the cgroup '\(cgroup.path)'") { () throws(Errno) in
                try Files.open(cgroup.directories[0], Files.pathOnly | O_DIRECTORY)
            }
        }
        let target = into?.rawValue
        var launcher = try Launcher(plan, program: program, namespaces: steps.cloneFlags, cgroup: target)
        let linux = linux
        do throws(BerthError) {
            if joinsCgroup, let cgroup {
                let files = try attempting("open the cgroup '\(cgroup.path)'") { () throws(Errno) in
                    try cgroup.taskFiles()
                }
                defer { for file in files { close(file) } }
                try launcher.send(files)
            }
            try launcher.serve(
                Launcher.Part(writeMaps: { pid throws(BerthError) in
                    try UserNamespaces.writeMaps(of: pid, uids: linux.uidMappings ?? [], gids: linux.gidMappings ?? [])
                }))
            let namespaces = try hold(launcher.pid)
            try launcher.start(state: [])
            let process = launcher.finish()
            if makesPid { return Held(namespaces: namespaces, reaper: process.pid) }
            _ = try? PidFD.reap(process.pidfd.rawValue)
            return Held(namespaces: namespaces, reaper: nil)
        } catch {
            launcher.abandon()
            throw error
        }
    }

    private func hold(_ pid: Int32) throws(BerthError) -> [OCINamespaceType: Int32] {
        var held: [OCINamespaceType: Int32] = [:]
        do throws(BerthError) {
            for type in Pod.shared where wanted.contains(where: { $0.type == type }) {
                held[type] = try attempting("hold the \(type.rawValue) namespace of the pod") { () throws(Errno) in
                    try Namespaces.open(type.procName, of: String(pid)).release()
                }
            }
            return held
        } catch {
            for descriptor in held.values { close(descriptor) }
            throw error
        }
    }
}
