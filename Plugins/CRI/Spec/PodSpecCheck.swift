internal import BerthBase
internal import BerthServices

/// What is wrong with a pod's specification, or not supported, said before anything is made.
enum PodSpecCheck {
    /// - Throws: `invalidArgument` or `unimplemented` that names the field.
    static func check(_ spec: PodSpec, _ facts: HostFacts) throws {
        guard !spec.name.isEmpty else { throw BerthError(.invalidArgument, "the pod's metadata has no name") }
        try checkNames(spec)
        try namespaces(spec)
        try cgroupParent(spec.cgroupParent)
        for (name, value) in spec.sysctls { try sysctl(name, value, spec.namespaces) }
        for port in spec.ports { try check(port) }
        for limits in [spec.overhead, spec.resources] { if let limits { try ResourceCheck.check(limits, facts) } }
        if let dns = spec.dns {
            for text in dns.servers + dns.searches + dns.options { try word(text, "dns_config") }
        }
        if !spec.selinuxLabel.isEmpty, facts.seLinux {
            throw BerthError(.unimplemented, "selinux_options '\(spec.selinuxLabel)': SELinux labels are not supported")
        }
        if !spec.logDirectory.isEmpty { try PathCheck.absolute(spec.logDirectory, "log_directory") }
    }

    private static func checkNames(_ spec: PodSpec) throws {
        for (field, text) in [("name", spec.name), ("uid", spec.uid), ("namespace", spec.group)] {
            // They become part of paths, keys and CNI arguments (CVE-2025-0750).
            guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f && $0 != 0x2f && $0 != 0x3b }), text != ".",
                text != ".."
            else {
                throw BerthError(.invalidArgument, "the pod's metadata: \(field) '\(text)' is no single path component")
            }
            guard text.utf8.count <= 253 else {
                throw BerthError(.invalidArgument, "the pod's metadata: \(field) is longer than 253 bytes")
            }
        }
        let host = spec.hostname
        guard host.utf8.count <= 64, host.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f && $0 != 0x2f }) else {
            throw BerthError(.invalidArgument, "hostname '\(host.prefix(80))' is no host name of at most 64 bytes")
        }
    }

    private static func word(_ text: String, _ field: String) throws {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw BerthError(.invalidArgument, "\(field): '\(text)' is empty or has a space or a control character")
        }
    }

    private static func namespaces(_ spec: PodSpec) throws {
        let options = spec.namespaces
        guard [.pod, .node].contains(options.network) else {
            throw BerthError(.invalidArgument, "namespace_options.network of a pod is POD or NODE")
        }
        guard [.pod, .node].contains(options.ipc) else {
            throw BerthError(.invalidArgument, "namespace_options.ipc of a pod is POD or NODE")
        }
        guard options.pid != .target else {
            throw BerthError(.invalidArgument, "namespace_options.pid of a pod is POD, CONTAINER or NODE")
        }
        guard options.uids.isEmpty == options.gids.isEmpty else {
            throw BerthError(.invalidArgument, "userns_options: uids and gids go together")
        }
        for map in options.uids + options.gids {
            guard map.size > 0, UInt64(map.containerID) + UInt64(map.size) <= 0xffff_ffff,
                UInt64(map.hostID) + UInt64(map.size) <= 0xffff_ffff
            else {
                throw BerthError(.invalidArgument, "userns_options: a range of \(map.size) IDs is empty or too long")
            }
        }
        if !options.uids.isEmpty {
            throw BerthError(.unimplemented, "userns_options: pods with a user namespace are not supported")
        }
        if options.network == .node, spec.ports.contains(where: { $0.hostPort != 0 && $0.hostPort != $0.containerPort })
        {
            throw BerthError(.invalidArgument, "port_mappings: with the host's network host_port is container_port")
        }
    }

    /// A cgroupfs path; a systemd slice is refused by name.
    static func cgroupParent(_ parent: String) throws {
        if parent.isEmpty { return }
        if parent.hasSuffix(".slice"), !parent.contains("/") {
            throw BerthError(
                .unimplemented,
                "cgroup_parent '\(parent)': the systemd cgroup driver is not supported, set cgroupDriver: cgroupfs")
        }
        guard parent.hasPrefix("/"), parent.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }),
            !parent.split(separator: "/").contains(where: { $0 == ".." || $0 == "." })
        else { throw BerthError(.invalidArgument, "cgroup_parent '\(parent)' is no absolute cgroup path") }
    }

    private static func check(_ port: PortMapping) throws {
        guard (0...65535).contains(port.hostPort), (0...65535).contains(port.containerPort) else {
            throw BerthError(
                .invalidArgument, "port_mappings: \(port.hostPort) or \(port.containerPort) is no port")
        }
    }

    private static let ipcNames: Set<String> = [
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni", "kernel.shm_rmid_forced",
    ]

    /// Only what the pod's own namespaces hold, name and value each one word of its own (CVE-2022-0811).
    static func sysctl(_ name: String, _ value: String, _ options: PodNamespaceOptions) throws {
        let plain = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x2d, 0x2e, 0x2f, 0x5f].contains(byte)
        }
        let parts = name.split(whereSeparator: { $0 == "." || $0 == "/" }).map(String.init)
        let dotted = parts.joined(separator: ".")
        guard plain, !name.contains(".."), !name.contains("//"), parts.count >= 2 else {
            throw BerthError(.invalidArgument, "sysctl '\(name)' is no name of a kernel setting")
        }
        guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f || $0 == 0x09 }), !value.contains("+"),
            !value.contains("=")
        else { throw BerthError(.invalidArgument, "sysctl '\(name)': its value has a character that no value has") }
        let ipc = ipcNames.contains(dotted) || dotted.hasPrefix("fs.mqueue.")
        if ipc, options.ipc == .node {
            throw BerthError(
                .invalidArgument, "sysctl '\(name)' would be the host's: the pod has the host's IPC namespace")
        }
        if dotted.hasPrefix("net."), options.network == .node {
            throw BerthError(.invalidArgument, "sysctl '\(name)' would be the host's: the pod has the host's network")
        }
        guard ipc || dotted.hasPrefix("net.") else {
            throw BerthError(.invalidArgument, "sysctl '\(name)' is in no namespace of the pod")
        }
    }
}

/// Paths as they come from requests.
enum PathCheck {
    /// - Throws: `invalidArgument` unless it is absolute, without `..` and NUL.
    static func absolute(_ path: String, _ field: String) throws {
        guard path.hasPrefix("/"), !path.utf8.contains(0), !path.split(separator: "/").contains("..") else {
            throw BerthError(.invalidArgument, "\(field): '\(path)' is no absolute path without '..'")
        }
    }

    /// A relative path of plain components (CVE-2025-0750).
    static func relative(_ path: String, _ field: String) throws {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard !path.utf8.contains(0), parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }) else {
            throw BerthError(.invalidArgument, "\(field): '\(path)' is no relative path of plain components")
        }
    }

    /// The path without `.`, `..` and doubled slashes, beginning with a slash.
    static func normalized(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }
}

/// Limits as they come from requests.
enum ResourceCheck {
    /// - Throws: `invalidArgument` that names the field.
    static func check(_ limits: ResourceLimits, _ facts: HostFacts) throws {
        guard limits.cpuPeriod >= 0, limits.cpuShares >= 0, limits.cpuQuota >= -1, limits.memoryLimit >= -1,
            limits.memorySwapLimit >= -1
        else { throw BerthError(.invalidArgument, "resources: a limit is negative") }
        guard (-1000...1000).contains(limits.oomScoreAdj) else {
            throw BerthError(.invalidArgument, "oom_score_adj \(limits.oomScoreAdj) is not between -1000 and 1000")
        }
        if limits.memorySwapLimit > 0, limits.memoryLimit > limits.memorySwapLimit {
            throw BerthError(.invalidArgument, "memory_swap_limit_in_bytes is less than memory_limit_in_bytes")
        }
        for list in [limits.cpusetCPUs, limits.cpusetMems] {
            guard list.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2c || $0 == 0x2d }) else {
                throw BerthError(.invalidArgument, "cpuset '\(list)' is no list such as 0-3,7")
            }
        }
        for (size, limit) in limits.hugepages {
            guard facts.hugepageSizes.contains(size) else {
                throw BerthError(.invalidArgument, "hugepage_limits: this host has no pages of '\(size)'")
            }
            // A kubelet limits every size to nothing, on hosts without the controller too: that alone is let pass.
            guard facts.hugetlb || limit == 0 else {
                throw BerthError(.invalidArgument, "hugepage_limits: this host has no hugetlb controller")
            }
        }
        if !limits.unified.isEmpty, !facts.cgroupV2 {
            throw BerthError(.invalidArgument, "unified: this host has cgroup v1")
        }
        try unified(limits)
    }

    /// A file of a controller whose limit the request sets by its own field is refused (CVE-2023-6476).
    private static func unified(_ limits: ResourceLimits) throws {
        var taken: Set<String> = []
        if limits.memoryLimit != 0 { taken.insert("memory.max") }
        if limits.memorySwapLimit != 0 { taken.insert("memory.swap.max") }
        if limits.cpuQuota != 0 || limits.cpuPeriod != 0 { taken.insert("cpu.max") }
        if limits.cpuShares != 0 { taken.insert("cpu.weight") }
        if !limits.cpusetCPUs.isEmpty { taken.insert("cpuset.cpus") }
        if !limits.cpusetMems.isEmpty { taken.insert("cpuset.mems") }
        for (file, _) in limits.unified {
            guard file.contains("."), !file.contains("/"), !file.hasPrefix("."), !file.hasPrefix("cgroup.") else {
                throw BerthError(.invalidArgument, "unified: '\(file)' is no file of a controller")
            }
            if taken.contains(file) {
                throw BerthError(.invalidArgument, "unified: '\(file)' is already set by another field")
            }
        }
    }
}
