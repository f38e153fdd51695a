internal import BerthBase
internal import BerthOCI
internal import BerthSystem

/// What is wrong with a specification, or not supported, said before anything is made.
enum SpecCheck {
    /// - Throws: `invalidArgument` or `unimplemented` that names the field.
    static func check(_ spec: OCISpec, id: String) throws(BerthError) {
        try checkID(id)
        guard spec.ociVersion.hasPrefix("1.") else {
            throw BerthError(.invalidArgument, "ociVersion '\(spec.ociVersion)' is not 1.x")
        }
        guard let linux = spec.linux else { throw BerthError(.invalidArgument, "config.json has no 'linux'") }
        guard let process = spec.process else { throw BerthError(.invalidArgument, "config.json has no 'process'") }
        try check(process)
        try checkNamespaces(spec, linux)
        try refuse(linux)
        for mount in spec.mounts ?? [] { try check(mount) }
        for path in (linux.maskedPaths ?? []) + (linux.readonlyPaths ?? []) {
            try absolute(path, "linux.maskedPaths and readonlyPaths")
        }
        for (name, _) in linux.sysctl ?? [:] { try checkSysctl(name, linux) }
    }

    /// The names runc takes: letters, digits and `_ + - .`, but neither `.` nor `..`.
    static func checkID(_ id: String) throws(BerthError) {
        let good = id.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x5f, 0x2b, 0x2d, 0x2e].contains(byte)
        }
        guard good, !id.isEmpty, id.utf8.count <= 1024, id != ".", id != ".." else {
            throw BerthError(.invalidArgument, "container id '\(id)' must be letters, digits, '_', '+', '-' and '.'")
        }
    }

    static func check(_ process: OCIProcess) throws(BerthError) {
        guard let args = process.args, let first = args.first, !first.isEmpty else {
            throw BerthError(.invalidArgument, "process.args is empty")
        }
        try absolute(process.cwd, "process.cwd")
        for sets in [process.capabilities?.ambient, process.capabilities?.bounding] {
            for name in sets ?? [] where !name.hasPrefix("CAP_") {
                throw BerthError(.invalidArgument, "process.capabilities: '\(name)' does not begin with CAP_")
            }
        }
        if let label = process.selinuxLabel, !label.isEmpty, (try? Files.status("/sys/fs/selinux/enforce")) == nil {
            throw BerthError(
                .failedPrecondition, "process.selinuxLabel '\(label)': SELinux is not enabled on this host")
        }
        if let profile = process.apparmorProfile, !profile.isEmpty, !appArmorIsEnabled {
            throw BerthError(
                .failedPrecondition, "process.apparmorProfile '\(profile)': AppArmor is not enabled on this host")
        }
    }

    private static var appArmorIsEnabled: Bool {
        (try? Files.text("/sys/module/apparmor/parameters/enabled")) == "Y"
    }

    private static func checkNamespaces(_ spec: OCISpec, _ linux: OCILinux) throws(BerthError) {
        var seen: Set<OCINamespaceType> = []
        for namespace in linux.namespaces ?? [] where !seen.insert(namespace.type).inserted {
            throw BerthError(.invalidArgument, "linux.namespaces names '\(namespace.type.rawValue)' twice")
        }
        let mount = linux.namespaces?.first { $0.type == .mount }
        guard mount != nil else {
            throw BerthError(.unimplemented, "linux.namespaces: a container without a mount namespace of its own")
        }
        if let path = mount?.path, !path.isEmpty {
            throw BerthError(.unimplemented, "linux.namespaces: joining the mount namespace '\(path)'")
        }
        if spec.hostname?.isEmpty == false || spec.domainname?.isEmpty == false, !seen.contains(.uts) {
            throw BerthError(.invalidArgument, "hostname and domainname need a uts namespace in linux.namespaces")
        }
        let user = linux.namespaces?.first { $0.type == .user }
        let joins = user?.path?.isEmpty == false
        let maps = !(linux.uidMappings ?? []).isEmpty
        if user != nil, !joins, !maps || (linux.gidMappings ?? []).isEmpty {
            throw BerthError(.invalidArgument, "a new user namespace needs linux.uidMappings and linux.gidMappings")
        }
        if user == nil, maps { throw BerthError(.invalidArgument, "linux.uidMappings need a user namespace") }
        if linux.timeOffsets?.isEmpty == false, !seen.contains(.time) {
            throw BerthError(.invalidArgument, "linux.timeOffsets need a time namespace in linux.namespaces")
        }
    }

    private static func refuse(_ linux: OCILinux) throws(BerthError) {
        if linux.intelRdt != nil {
            throw BerthError(.unimplemented, "linux.intelRdt is not supported")
        }
        if linux.netDevices?.isEmpty == false {
            throw BerthError(.unimplemented, "linux.netDevices is not supported")
        }
        if let label = linux.mountLabel, !label.isEmpty {
            throw BerthError(.unimplemented, "linux.mountLabel '\(label)' is not supported")
        }
    }

    private static func check(_ mount: OCIMount) throws(BerthError) {
        guard !mount.destination.isEmpty else { throw BerthError(.invalidArgument, "a mount has no destination") }
        let destination = normalized(mount.destination)
        guard destination == "/proc" || destination.hasPrefix("/proc/") else { return }
        if destination == "/proc", mount.type == "proc" { return }
        if destination == "/proc", bindsHostProc(mount) { return }
        guard procFiles.contains(destination) else {
            throw BerthError(
                .invalidArgument, "mount on '\(destination)': nothing but procfs itself may be mounted in /proc")
        }
    }

    /// A bind of the host's own /proc, for containers that share its pid namespace; what comes out is checked again.
    private static func bindsHostProc(_ mount: OCIMount) -> Bool {
        mount.source == "/proc"
            && (mount.type == "bind" || mount.options?.contains { $0 == "bind" || $0 == "rbind" } == true)
    }

    /// Single files that tools like lxcfs cover.
    private static let procFiles: Set<String> = [
        "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
        "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/crypto/fips_enabled",
    ]

    /// The path without `.`, `..` and doubled slashes, beginning with a slash.
    static func normalized(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    private static func absolute(_ path: String, _ what: String) throws(BerthError) {
        guard path.hasPrefix("/") else { throw BerthError(.invalidArgument, "\(what): '\(path)' is not absolute") }
    }

    /// A sysctl that is the container's own, by the namespaces it gets.
    static func checkSysctl(_ name: String, _ linux: OCILinux) throws(BerthError) {
        let dotted = sysctlPath(name).split(separator: "/").joined(separator: ".")
        let kinds = Set((linux.namespaces ?? []).map(\.type))
        let ipc: Set<String> = [
            "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
            "kernel.shmmni", "kernel.shm_rmid_forced",
        ]
        let allowed =
            dotted.hasPrefix("net.") && kinds.contains(.network)
            || (ipc.contains(dotted) || dotted.hasPrefix("fs.mqueue.")) && kinds.contains(.ipc)
            || dotted == "kernel.domainname" && kinds.contains(.uts)
        guard allowed, !name.utf8.contains(0), !dotted.contains("..") else {
            throw BerthError(
                .invalidArgument, "linux.sysctl '\(name)' is not in a namespace of this container")
        }
    }

    /// The path below /proc/sys: dots and slashes change places if a dot comes first, as in sysctl(8).
    static func sysctlPath(_ name: String) -> String {
        guard let first = name.first(where: { $0 == "." || $0 == "/" }), first == "." else { return name }
        return String(name.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 })
    }
}
