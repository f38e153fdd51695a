internal import BerthBase
internal import BerthOCI
internal import BerthServices

extension ContainerPlan {
    /// The standard mounts, the daemon's files, the image's volumes and the request's mounts, parents first. A mount of
    /// the request takes the place of any other with its destination.
    func allMounts() -> [OCIMount] {
        let asked = mounts.map(mount)
        let taken = Set(asked.map(\.destination))
        let own = standardMounts() + fileMounts() + volumes.map(mount)
        let all = own.filter { !taken.contains($0.destination) } + asked
        return all.enumerated().sorted { left, right in
            let (a, b) = (depth(left.element), depth(right.element))
            return a == b ? left.offset < right.offset : a < b
        }.map(\.element)
    }

    private func depth(_ mount: OCIMount) -> Int { mount.destination.split(separator: "/").count }

    private func standardMounts() -> [OCIMount] {
        let privileged = spec.security.privileged
        let isolated = ["nosuid", "noexec", "nodev"]
        var pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
        // Group 5 (tty) may not be mapped in a user namespace.
        if pod.namespaces.uids.isEmpty
            || pod.namespaces.gids.contains(where: { $0.containerID <= 5 && 5 - $0.containerID < $0.size })
        {
            pts.append("gid=5")
        }
        return [
            OCIMount(destination: "/proc", type: "proc", source: "proc", options: isolated),
            OCIMount(
                destination: "/dev", type: "tmpfs", source: "tmpfs",
                options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            OCIMount(destination: "/dev/pts", type: "devpts", source: "devpts", options: pts),
            OCIMount(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: isolated),
            OCIMount(
                destination: "/sys", type: "sysfs", source: "sysfs", options: isolated + [privileged ? "rw" : "ro"]),
            OCIMount(
                destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
                options: isolated + ["relatime", privileged ? "rw" : "ro"]),
        ]
    }

    /// A request's mount on one of these wins (CVE-2021-43816).
    private func fileMounts() -> [OCIMount] {
        let access = spec.security.readOnlyRootfs ? "ro" : "rw"
        var all = [("/etc/hosts", files.hosts), ("/etc/resolv.conf", files.resolvConf)]
        if pod.namespaces.network != .node { all.append(("/etc/hostname", files.hostname)) }
        let shared = pod.namespaces.ipc == .node ? "/dev/shm" : files.sharedMemory
        return all.map { target, source in
            OCIMount(destination: target, type: "bind", source: source, options: ["rbind", "rprivate", access])
        } + [OCIMount(destination: "/dev/shm", type: "bind", source: shared, options: ["rbind", "rprivate", "rw"])]
    }

    private func mount(_ mount: VolumeMount) -> OCIMount {
        let propagation =
            switch mount.propagation {
            case .private: "rprivate"
            case .hostToContainer: "rslave"
            case .bidirectional: "rshared"
            }
        var options = ["rbind", propagation]
        options.append(mount.readOnly ? "ro" : "rw")
        if mount.recursiveReadOnly { options.append("rro") }
        var oci = OCIMount(
            destination: PathCheck.normalized(mount.target), type: "bind", source: mount.source,
            options: options + mount.options)
        if !mount.uids.isEmpty {
            oci.uidMappings = mount.uids.map(SandboxSpecBuilder.mapping)
            oci.gidMappings = mount.gids.map(SandboxSpecBuilder.mapping)
        }
        return oci
    }
}
