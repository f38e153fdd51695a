internal import Glibc
package import SystemPackage

/// Where the host's cgroup hierarchies are mounted.
package struct CgroupHost: Sendable {
    /// One hierarchy of cgroup v1.
    package struct Hierarchy: Sendable, Hashable {
        /// Its controllers, or `name=systemd` for one without.
        package var controllers: [String]
        package var mountPoint: String
        /// What the hierarchy is called in mount options: `cpu,cpuacct`, `name=systemd`.
        package var name: String { controllers.joined(separator: ",") }
    }

    /// The v1 hierarchies; empty on a host with v2 only.
    package var hierarchies: [Hierarchy]
    /// The mount point of the v2 tree that has the controllers; nil on v1 and hybrid hosts.
    package var unified: String?

    package init(hierarchies: [Hierarchy], unified: String?) {
        self.hierarchies = hierarchies
        self.unified = unified
    }

    private static let v2Magic: Int64 = 0x6367_7270

    /// Looks at this host: `/sys/fs/cgroup` first, which is the v2 tree itself on a v2 host.
    package static func current() throws(Errno) -> CgroupHost {
        let root = try Files.directory("/sys/fs/cgroup")
        if try Files.fileSystem(of: root.rawValue) == v2Magic {
            return CgroupHost(hierarchies: [], unified: "/sys/fs/cgroup")
        }
        var hierarchies: [Hierarchy] = []
        for mount in try mounts() where mount.type == "cgroup" && mount.root == "/" {
            let controllers = mount.superOptions.filter {
                !notControllers.contains($0) && !$0.hasPrefix("release_agent")
            }
            guard mount.mountPoint.hasPrefix("/sys/fs/cgroup/"), !controllers.isEmpty else { continue }
            if hierarchies.contains(where: { $0.controllers == controllers }) { continue }
            hierarchies.append(Hierarchy(controllers: controllers, mountPoint: mount.mountPoint))
        }
        return CgroupHost(hierarchies: hierarchies, unified: nil)
    }

    /// The mounts of cgroup v1. Only their lines are taken apart: a node with many pods has thousands of others.
    private static func mounts() throws(Errno) -> [MountInfo] {
        let mark = Array(" - cgroup ".utf8)
        let bytes = try Files.read("/proc/self/mountinfo", limit: 64 << 20)
        var lines: [UInt8] = []
        for line in bytes.split(separator: 0x0a) where contains(line, mark) { lines += line + [0x0a] }
        return MountInfo.parse(lines)
    }

    private static func contains(_ line: ArraySlice<UInt8>, _ mark: [UInt8]) -> Bool {
        guard line.count >= mark.count else { return false }
        return (line.startIndex...line.endIndex - mark.count).contains { at in
            line[at] == mark[0] && line[at..<at + mark.count].elementsEqual(mark)
        }
    }

    private static let notControllers: Set<String> = [
        "rw", "ro", "xattr", "none", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods",
    ]

    /// Whether the host's resources are controlled by v2.
    package var isV2: Bool { unified != nil }
}
