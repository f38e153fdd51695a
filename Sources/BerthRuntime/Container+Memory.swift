package import BerthSystem
package import SystemPackage

extension Container {
    /// A descriptor that is readable when memory ran out in the container, and also at other times.
    ///
    /// cgroup v1 tells by an event counter on `memory.oom_control`, v2 by changes of `memory.events`.
    ///
    /// - Throws: `notSupported` without a memory controller.
    package func watchMemory() throws(Errno) -> OwnedFD {
        guard let cgroup, let directory = cgroup.directory(of: "memory") else { throw .notSupported }
        if cgroup.host.isV2 { return try FileWatch.open(directory + "/memory.events") }
        return try EventCounter.open(on: "memory.oom_control", in: directory)
    }

    /// Whether its cgroup is one of v2.
    package var usesCgroupV2: Bool { cgroup?.host.isV2 == true }

    /// How many processes the kernel has killed in the container because memory ran out; nil if it does not tell.
    package var oomKills: UInt64? {
        guard let cgroup, let directory = cgroup.directory(of: "memory") else { return nil }
        let file = directory + (cgroup.host.isV2 ? "/memory.events" : "/memory.oom_control")
        guard let text = try? Files.text(file) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix("oom_kill ") { return UInt64(line.dropFirst(9)) }
        return nil
    }
}
