internal import BerthBase
internal import BerthOCI
internal import BerthSystem

/// What the spec of a container depends on beside the request: a value, so that tests can be any host.
struct HostFacts: Sendable, Hashable {
    /// The host's resources are controlled by cgroup v2.
    var cgroupV2 = true
    /// Capabilities the daemon has and so can give.
    var capabilities: [String] = []
    /// Capabilities the running kernel knows.
    var knownCapabilities: Set<String> = []
    var appArmor = false
    var seLinux = false
    /// The CPU in Go's names.
    var architecture = "amd64"
    var hostname = "localhost"
    /// Huge pages can be limited.
    var hugetlb = true
    /// Sizes of huge pages, e.g. `2MB`.
    var hugepageSizes: Set<String> = []

    static func current() -> HostFacts {
        var facts = HostFacts()
        let cgroups = try? CgroupHost.current()
        facts.cgroupV2 = cgroups?.isV2 == true
        if facts.cgroupV2 {
            let controllers = (try? Files.text("/sys/fs/cgroup/cgroup.controllers")) ?? ""
            facts.hugetlb = controllers.split(separator: " ").contains("hugetlb")
        } else {
            facts.hugetlb = cgroups?.hierarchies.contains { $0.controllers.contains("hugetlb") } == true
        }
        let mask = Capabilities.bounding()
        facts.capabilities = (0..<64).filter { mask & (1 << UInt64($0)) != 0 }.compactMap(Capabilities.name(of:))
            .sorted()
        facts.knownCapabilities = Set(Capabilities.all)
        facts.appArmor = (try? Files.text("/sys/module/apparmor/parameters/enabled")) == "Y"
        facts.seLinux = (try? Files.status("/sys/fs/selinux/enforce")) != nil
        #if arch(arm64)
            facts.architecture = "arm64"
        #endif
        facts.hostname = (try? Files.text("/proc/sys/kernel/hostname")) ?? "localhost"
        facts.hugepageSizes = Set(((try? Files.names(in: "/sys/kernel/mm/hugepages")) ?? []).compactMap(pageSize))
        return facts
    }

    /// `hugepages-2048kB` is `2MB`.
    private static func pageSize(_ name: String) -> String? {
        guard name.hasPrefix("hugepages-"), name.hasSuffix("kB"), let kilobytes = Int(name.dropFirst(10).dropLast(2))
        else {
            return nil
        }
        if kilobytes >= 1 << 20 { return "\(kilobytes >> 20)GB" }
        return kilobytes >= 1 << 10 ? "\(kilobytes >> 10)MB" : "\(kilobytes)KB"
    }
}
