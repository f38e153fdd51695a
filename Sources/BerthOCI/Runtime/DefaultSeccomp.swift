/// The seccomp profile of containers that ask for the runtime's default: an allow list, the rest is EPERM.
///
/// What the list leaves out on purpose: `io_uring_*` (its history of holes), sockets of the kernel's crypto interface
/// (AF_ALG) and of VM guests (AF_VSOCK), keyrings, `userfaultfd`, and all that needs a capability the
/// container lacks. System calls newer than the list answer ENOSYS, so that C libraries fall back.
package enum DefaultSeccomp {
    private static let allow = "SCMP_ACT_ALLOW"

    /// The profile for a container with these capabilities on a CPU with Go's name (`amd64`, `arm64`).
    package static func profile(capabilities: Set<String>, architecture: String) -> OCISeccomp {
        var profile = OCISeccomp(defaultAction: "SCMP_ACT_ERRNO")
        profile.defaultErrnoRet = 1
        profile.architectures = architectures(architecture)
        var rules = [OCISyscall(always, action: allow)]
        rules += socketRules + personalityRules
        rules += architectureRules(architecture)
        for rule in byCapability where capabilities.contains(rule.capability) {
            rules.append(OCISyscall(rule.names, action: allow))
        }
        rules += cloneRules(mayMakeNamespaces: capabilities.contains("CAP_SYS_ADMIN"), architecture)
        profile.syscalls = rules
        return profile
    }

    private static func architectures(_ name: String) -> [String]? {
        switch name {
        case "amd64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
        case "arm64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
        default: nil
        }
    }

    /// AF_ALG is 38, AF_VSOCK is 40; conditions of one rule hold together, other rules are alternatives.
    /// `socketcall` hides its arguments in memory, where no filter sees the family: 32-bit programs have the direct
    /// calls since Linux 4.3.
    private static let socketRules = [
        OCISyscall(["socketcall"], action: "SCMP_ACT_ERRNO", errnoRet: 38),
        OCISyscall(["socket"], action: allow, args: [.init(index: 0, value: 38, op: "SCMP_CMP_LT")]),
        OCISyscall(["socket"], action: allow, args: [.init(index: 0, value: 39, op: "SCMP_CMP_EQ")]),
        OCISyscall(["socket"], action: allow, args: [.init(index: 0, value: 40, op: "SCMP_CMP_GT")]),
    ]

    /// PER_LINUX, PER_LINUX32, both with UNAME26, and the query.
    private static let personalityRules = [0, 8, 0x20000, 0x20008, 0xffff_ffff].map { value in
        OCISyscall(["personality"], action: allow, args: [.init(index: 0, value: value, op: "SCMP_CMP_EQ")])
    }

    private static func architectureRules(_ name: String) -> [OCISyscall] {
        switch name {
        case "amd64": [OCISyscall(["arch_prctl", "modify_ldt"], action: allow)]
        case "arm64":
            [
                OCISyscall(
                    [
                        "arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush",
                        "set_tls",
                    ], action: allow)
            ]
        default: []
        }
    }

    /// Without CAP_SYS_ADMIN `clone` may not make namespaces; `clone3`, whose flags a filter cannot read, is absent.
    private static func cloneRules(mayMakeNamespaces: Bool, _ architecture: String) -> [OCISyscall] {
        if mayMakeNamespaces { return [] }
        let namespaceFlags: UInt64 = 0x7e02_0000
        return [
            OCISyscall(
                ["clone"], action: allow,
                args: [.init(index: 0, value: namespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ")]),
            OCISyscall(["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38),
        ]
    }

    private struct CapabilityRule {
        let capability: String
        let names: [String]
    }

    private static let byCapability = [
        CapabilityRule(capability: "CAP_DAC_READ_SEARCH", names: ["open_by_handle_at"]),
        CapabilityRule(
            capability: "CAP_SYS_ADMIN",
            names: [
                "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie",
                "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mount", "mount_setattr", "move_mount",
                "open_tree", "open_tree_attr", "perf_event_open", "quotactl", "quotactl_fd", "setdomainname",
                "sethostname", "setns", "syslog", "umount", "umount2", "unshare",
            ]),
        CapabilityRule(capability: "CAP_SYS_BOOT", names: ["reboot"]),
        CapabilityRule(capability: "CAP_SYS_CHROOT", names: ["chroot"]),
        CapabilityRule(
            capability: "CAP_SYS_MODULE", names: ["delete_module", "finit_module", "init_module"]),
        CapabilityRule(capability: "CAP_SYS_PACCT", names: ["acct"]),
        CapabilityRule(
            capability: "CAP_SYS_PTRACE",
            names: ["kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"]),
        CapabilityRule(capability: "CAP_SYS_RAWIO", names: ["ioperm", "iopl"]),
        CapabilityRule(
            capability: "CAP_SYS_TIME", names: ["clock_settime", "clock_settime64", "settimeofday", "stime"]),
        CapabilityRule(capability: "CAP_SYS_TTY_CONFIG", names: ["vhangup"]),
        CapabilityRule(
            capability: "CAP_SYS_NICE",
            names: ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
        CapabilityRule(capability: "CAP_SYSLOG", names: ["syslog"]),
        CapabilityRule(capability: "CAP_BPF", names: ["bpf"]),
        CapabilityRule(capability: "CAP_PERFMON", names: ["perf_event_open"]),
    ]
}
