package import BerthBase
package import BerthOCI
package import BerthSystem
internal import Glibc
internal import SystemPackage

/// What the containers of a pod share: namespaces, held by descriptors, and a cgroup. No process stays for them, but
/// for the reaper of a pid namespace, which is its first process.
package final class Pod: Sendable {
    package let id: String
    /// The namespaces that were made, or joined to be held.
    package let namespaces: [OCINamespaceType: Int32]
    let cgroup: Cgroup?
    /// Whether the cgroup was there before us: then it is not ours to remove.
    private let cgroupIsForeign: Bool

    fileprivate init(_ id: String, _ namespaces: [OCINamespaceType: Int32], _ cgroup: Cgroup?, isForeign: Bool) {
        self.id = id
        self.namespaces = namespaces
        self.cgroup = cgroup
        cgroupIsForeign = isForeign
    }

    deinit { for descriptor in namespaces.values { close(descriptor) } }

    /// The namespaces a pod can share by descriptor. Its network is a path of its own.
    static let shared: [OCINamespaceType] = [.ipc, .uts, .user, .pid]

    /// Makes the cgroup and the namespaces of a specification, sets hostname and sysctls.
    ///
    /// - Returns: the pod, and the first process of its pid namespace if it has one, which is the caller's to reap.
    /// - Throws: what failed, after everything made for it was removed again.
    package static func make(
        id: String, spec: OCISpec, in environment: RuntimeEnvironment
    ) throws(BerthError) -> MadePod {
        try SpecCheck.checkID(id)
        let linux = spec.linux ?? OCILinux()
        let cgroup = try chooseCgroup(linux)
        let isForeign = cgroup?.exists ?? false
        do throws(BerthError) {
            if let cgroup { try makeCgroup(cgroup, linux.resources) }
            let holder = NamespaceHolder(spec: spec, linux: linux, cgroup: cgroup, environment: environment)
            let held = try holder.make()
            return MadePod(pod: Pod(id, held.namespaces, cgroup, isForeign: isForeign), reaper: held.reaper)
        } catch {
            if let cgroup, !isForeign { try? cgroup.remove() }
            throw error
        }
    }

    private static func chooseCgroup(_ linux: OCILinux) throws(BerthError) -> Cgroup? {
        guard let path = linux.cgroupsPath, !path.isEmpty else { return nil }
        guard !path.split(separator: "/").contains(".."), !path.utf8.contains(0) else {
            throw BerthError(.invalidArgument, "linux.cgroupsPath '\(path)' leaves its hierarchy")
        }
        let host = try attempting("look at the host's cgroups") { () throws(Errno) in try CgroupHost.current() }
        return Cgroup(host: host, path: path)
    }

    private static func makeCgroup(_ cgroup: Cgroup, _ resources: OCIResources?) throws(BerthError) {
        try attempting("make the cgroup '\(cgroup.path)'") { () throws(Errno) in try cgroup.create() }
        if let resources { try CgroupResources(cgroup: cgroup, resources: resources).apply() }
    }

    /// What all of the pod has used.
    ///
    /// - Throws: `failedPrecondition` if it has no cgroup.
    package func stats() throws(BerthError) -> CgroupStats {
        guard let cgroup else { throw BerthError(.failedPrecondition, "pod '\(id)' has no cgroup") }
        return cgroup.stats()
    }

    /// Whether its cgroup is one of v2.
    package var usesCgroupV2: Bool { cgroup?.host.isV2 == true }
    /// The cgroup's path below each hierarchy; nil if there is none, or it is somebody else's.
    package var ownedCgroupPath: String? { cgroupIsForeign ? nil : cgroup?.path }

    /// Kills what is left in the pod's cgroup and removes it. May block.
    package func removeCgroup() throws(BerthError) {
        guard let path = ownedCgroupPath else { return }
        try Pod.removeCgroup(path)
    }

    /// Kills what is left in a cgroup and removes it; one that is gone is success. May block.
    package static func removeCgroup(_ path: String) throws(BerthError) {
        try attempting("remove the cgroup '\(path)'") { () throws(Errno) in
            let cgroup = Cgroup(host: try CgroupHost.current(), path: path)
            if try !cgroup.processes().isEmpty { try cgroup.signalAll(SIGKILL) }
            try cgroup.remove()
        }
    }
}

/// A new pod with the first process of its pid namespace.
package struct MadePod: Sendable {
    package let pod: Pod
    /// The caller's child to reap; nil if the pod makes no pid namespace.
    package let reaper: Int32?
}
