internal import BerthOCI
internal import BerthSystem

/// What this runtime can do, in the form of the specification's features document.
package struct RuntimeFeatures: Codable, Sendable {
    var ociVersionMin = "1.0.0"
    var ociVersionMax = OCISpec.version
    var hooks = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    var mountOptions: [String]
    var linux: Linux
    var potentiallyUnsafeConfigAnnotations: [String] = []

    struct Linux: Codable, Sendable {
        var namespaces = OCINamespaceType.allCases.map(\.rawValue).sorted()
        var capabilities: [String]
        var cgroup: [String: Bool]
        var seccomp: Seccomp
        var apparmor: [String: Bool]
        var selinux = ["enabled": false]
        var intelRdt = ["enabled": false]
        var mountExtensions = ["idmap": ["enabled": true]]
        var netDevices = ["enabled": false]
    }

    struct Seccomp: Codable, Sendable {
        var enabled = true
        var actions = [
            "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
            "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
        ]
        var operators = [
            "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
            "SCMP_CMP_NE",
        ]
        var archs = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"]
        var knownFlags = [
            "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ]
    }

    /// The features on this host.
    package static func current() -> RuntimeFeatures {
        let isV2 = (try? CgroupHost.current())?.isV2 == true
        return RuntimeFeatures(
            mountOptions: MountOptions.known,
            linux: Linux(
                capabilities: Capabilities.all, cgroup: ["v1": !isV2, "v2": isV2, "systemd": false, "rdma": true],
                seccomp: Seccomp(), apparmor: ["enabled": true]))
    }
}
