internal import BerthBase
internal import BerthServices

/// What is wrong with a container's specification, or not supported, said before anything is made.
enum ContainerSpecCheck {
    /// The longest command, in bytes of all arguments and variables: what the kernel would refuse anyway.
    static let maxArguments = 2 << 20

    /// - Throws: `invalidArgument`, `unimplemented` or `failedPrecondition` that names the field.
    static func check(_ spec: ContainerSpec, pod: PodSpec, _ facts: HostFacts) throws {
        guard !spec.name.isEmpty else { throw BerthError(.invalidArgument, "the container's metadata has no name") }
        guard spec.name.utf8.count <= 253, spec.name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x2f && $0 != 0x7f }) else {
            throw BerthError(.invalidArgument, "the container's metadata: name '\(spec.name.prefix(80))' is not usable")
        }
        guard !spec.image.isEmpty else { throw BerthError(.invalidArgument, "the container's image is empty") }
        if !spec.logPath.isEmpty { try PathCheck.relative(spec.logPath, "log_path") }
        if !spec.workingDirectory.isEmpty, !spec.workingDirectory.hasPrefix("/") {
            throw BerthError(.invalidArgument, "working_dir '\(spec.workingDirectory)' is not absolute")
        }
        try arguments(spec)
        try ResourceCheck.check(spec.resources, facts)
        try security(spec.security, pod: pod, facts)
        for mount in spec.mounts { try check(mount, facts) }
        for device in spec.devices { try check(device) }
        if !spec.stopSignal.isEmpty { _ = try SignalName.number(spec.stopSignal) }
    }

    private static func arguments(_ spec: ContainerSpec) throws {
        var bytes = 0
        for argument in spec.command + spec.args {
            guard !argument.utf8.contains(0) else {
                throw BerthError(.invalidArgument, "command and args: an argument has a NUL byte")
            }
            bytes += argument.utf8.count + 1
        }
        for variable in spec.environment {
            guard !variable.name.isEmpty, !variable.name.contains("="), !variable.name.utf8.contains(0),
                !variable.value.utf8.contains(0)
            else {
                throw BerthError(
                    .invalidArgument, "envs: '\(variable.name)' is no variable's name, or its value has a NUL byte")
            }
            bytes += variable.name.utf8.count + variable.value.utf8.count + 2
        }
        guard bytes <= maxArguments else {
            throw BerthError(.invalidArgument, "command, args and envs are longer than \(maxArguments) bytes")
        }
    }

    private static func security(_ security: ContainerSecurity, pod: PodSpec, _ facts: HostFacts) throws {
        if security.privileged, !pod.privileged {
            throw BerthError(.invalidArgument, "a privileged container in a pod that is not privileged")
        }
        if security.pid == .target, security.pidTarget.isEmpty {
            throw BerthError(.invalidArgument, "namespace_options.pid is TARGET and target_id is empty")
        }
        if security.pid == .pod, pod.namespaces.pid != .pod {
            throw BerthError(.invalidArgument, "namespace_options.pid is POD, but the pod shares no PID namespace")
        }
        if security.pid == .node, !pod.namespaces.uids.isEmpty {
            throw BerthError(.invalidArgument, "namespace_options.pid is NODE in a pod with a user namespace")
        }
        if !security.seLinuxIsVoid(facts) {
            throw BerthError(
                .unimplemented, "selinux_options '\(security.selinuxLabel)': SELinux labels are not supported")
        }
        switch security.apparmor {
        case .unconfined: break
        case .runtimeDefault where facts.appArmor && !security.privileged:
            throw BerthError(.unimplemented, "apparmor: there is no default profile; use Localhost or Unconfined")
        case .runtimeDefault: break
        case .localhost(let name):
            guard facts.appArmor else {
                throw BerthError(.invalidArgument, "apparmor profile '\(name)': AppArmor is not enabled on this host")
            }
            guard !name.isEmpty else { throw BerthError(.invalidArgument, "apparmor: localhost_ref is empty") }
        }
        if case .localhost(let path) = security.seccomp { try PathCheck.absolute(path, "seccomp.localhost_ref") }
        for path in security.maskedPaths + security.readOnlyPaths {
            try PathCheck.absolute(path, "masked_paths and readonly_paths")
        }
    }

    /// What the runtime lets lie on /proc: single files that tools like lxcfs cover (CVE-2019-16884).
    private static let procFiles: Set<String> = [
        "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
        "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/crypto/fips_enabled",
    ]

    private static let extraOptions: Set<String> = [
        "noexec", "exec", "nosuid", "suid", "nodev", "dev", "noatime", "relatime", "nodiratime", "nosymfollow",
    ]

    private static func check(_ mount: VolumeMount, _ facts: HostFacts) throws {
        try PathCheck.absolute(mount.source, "mounts: host_path")
        guard mount.target.hasPrefix("/"), !mount.target.utf8.contains(0), PathCheck.normalized(mount.target) != "/"
        else {
            throw BerthError(.invalidArgument, "mounts: container_path '\(mount.target)' is no absolute path below /")
        }
        let target = PathCheck.normalized(mount.target)
        if target == "/proc" || target.hasPrefix("/proc/"), !procFiles.contains(target),
            !(target == "/proc" && mount.source == "/proc")
        {
            throw BerthError(.invalidArgument, "mounts: nothing may be mounted on '\(target)'")
        }
        if mount.recursiveReadOnly, !mount.readOnly || mount.propagation != .private {
            throw BerthError(
                .invalidArgument,
                "mounts: '\(target)': recursive_read_only needs readonly and PROPAGATION_PRIVATE")
        }
        if mount.selinuxRelabel, facts.seLinux {
            throw BerthError(.unimplemented, "mounts: '\(target)': selinux_relabel is not supported")
        }
        guard mount.uids.isEmpty == mount.gids.isEmpty else {
            throw BerthError(.invalidArgument, "mounts: '\(target)': uidMappings and gidMappings go together")
        }
        for option in mount.options where !extraOptions.contains(option) {
            throw BerthError(
                .invalidArgument, "mounts: '\(target)': mount option '\(option)' is not one of those allowed")
        }
    }

    private static func check(_ device: DeviceMapping) throws {
        try PathCheck.absolute(device.source, "devices: host_path")
        try PathCheck.absolute(device.target, "devices: container_path")
        guard !device.permissions.isEmpty, device.permissions.allSatisfy({ "rwm".contains($0) }) else {
            throw BerthError(.invalidArgument, "devices: permissions '\(device.permissions)' are not letters of rwm")
        }
    }
}

extension ContainerSecurity {
    /// A label on a host without SELinux says nothing: there is nobody to read it.
    func seLinuxIsVoid(_ facts: HostFacts) -> Bool { selinuxLabel.isEmpty || !facts.seLinux || privileged }
}
