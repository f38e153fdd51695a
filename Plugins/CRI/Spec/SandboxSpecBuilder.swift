internal import BerthBase
internal import BerthOCI
internal import BerthServices

/// The OCI spec of a pod: namespaces, settings and cgroup, no process.
enum SandboxSpecBuilder {
    static func build(
        _ spec: PodSpec, id: PodID, namespace: NamespaceID, netns: String, userns: String
    ) -> OCISpec {
        var oci = OCISpec()
        let options = spec.namespaces
        if options.network != .node { oci.hostname = hostname(spec, id: id) }
        oci.annotations = SpecAnnotations.pod(spec, id: id)
        var linux = OCILinux()
        var kinds: [OCINamespace] = []
        if options.network != .node {
            kinds += [OCINamespace(.network, path: netns), OCINamespace(.uts)]
        }
        if options.ipc == .pod { kinds.append(OCINamespace(.ipc)) }
        if options.pid == .pod { kinds.append(OCINamespace(.pid)) }
        if !options.uids.isEmpty {
            kinds.append(OCINamespace(.user, path: userns))
            linux.uidMappings = options.uids.map(mapping)
            linux.gidMappings = options.gids.map(mapping)
        }
        linux.namespaces = kinds
        linux.cgroupsPath = cgroup(spec, namespace: namespace, id: id.rawValue)
        let sysctls = sysctls(spec)
        if !sysctls.isEmpty { linux.sysctl = sysctls }
        oci.linux = linux
        return oci
    }

    static func mapping(_ map: IDMapping) -> OCIIDMapping {
        OCIIDMapping(containerID: map.containerID, hostID: map.hostID, size: map.size)
    }

    /// The host name inside; the host's own for a host-network pod.
    static func hostname(_ spec: PodSpec, id: PodID) -> String {
        spec.hostname.isEmpty ? String(id.rawValue.prefix(12)) : spec.hostname
    }

    /// `PARENT/ID`: pod and containers are siblings, so that no cgroup has both processes and children.
    static func cgroup(_ spec: PodSpec, namespace: NamespaceID, id: String) -> String {
        let parent = spec.cgroupParent.isEmpty ? "/\(namespace)" : spec.cgroupParent
        return parent.hasSuffix("/") ? parent + id : "\(parent)/\(id)"
    }

    /// As in containerd 2, pods may bind ports below 1024 and ping without capabilities; the request's word wins.
    private static func sysctls(_ spec: PodSpec) -> [String: String] {
        var all = spec.sysctls
        guard spec.namespaces.network == .pod else { return all }
        func setDefault(_ name: String, _ value: String) {
            let slashed = String(name.map { $0 == "." ? "/" : $0 })
            if all[name] == nil, all[slashed] == nil { all[name] = value }
        }
        setDefault("net.ipv4.ip_unprivileged_port_start", "0")
        // In a user namespace the range would have to name mapped groups only.
        if spec.namespaces.uids.isEmpty { setDefault("net.ipv4.ping_group_range", "0 2147483647") }
        return all
    }
}
