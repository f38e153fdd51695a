extension OCISpec {
    /// A specification to start from: a shell in new namespaces with few capabilities.
    package static func example() -> OCISpec {
        var spec = OCISpec()
        var process = OCIProcess(
            args: ["sh"], env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"])
        process.terminal = true
        process.user = OCIUser()
        process.capabilities = .same(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"])
        process.rlimits = [OCIRlimit(type: "RLIMIT_NOFILE", hard: 1024, soft: 1024)]
        process.noNewPrivileges = true
        spec.process = process
        spec.root = OCIRoot(path: "rootfs", readonly: true)
        spec.hostname = "berth"
        spec.mounts = standardMounts
        var linux = OCILinux()
        var resources = OCIResources()
        resources.devices = [OCIDeviceRule(allow: false, access: "rwm")]
        linux.resources = resources
        linux.namespaces = [.init(.pid), .init(.network), .init(.ipc), .init(.uts), .init(.mount), .init(.cgroup)]
        linux.maskedPaths = standardMaskedPaths
        linux.readonlyPaths = standardReadonlyPaths
        spec.linux = linux
        return spec
    }

    /// The file systems a Linux program expects.
    package static let standardMounts = [
        OCIMount(destination: "/proc", type: "proc", source: "proc"),
        OCIMount(
            destination: "/dev", type: "tmpfs", source: "tmpfs",
            options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        OCIMount(
            destination: "/dev/pts", type: "devpts", source: "devpts",
            options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        OCIMount(
            destination: "/dev/shm", type: "tmpfs", source: "shm",
            options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        OCIMount(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]),
        OCIMount(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"]),
        OCIMount(
            destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
            options: ["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]

    /// Files of the kernel that tell or do too much.
    package static let standardMaskedPaths = [
        "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
        "/sys/devices/virtual/powercap",
    ]

    /// Settings of the whole machine.
    package static let standardReadonlyPaths = [
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
    ]
}
