internal import BerthBase
internal import BerthOCI
internal import BerthServices

extension ContainerPlan {
    func resources() -> OCIResources {
        var all = OCIResources(limits: spec.resources)
        if !facts.hugetlb { all.hugepageLimits = nil }
        if spec.security.privileged {
            all.devices = [OCIDeviceRule(allow: true, access: "rwm")]
        } else {
            all.devices =
                [OCIDeviceRule(allow: false, access: "rwm")]
                + devices.map { host in
                    OCIDeviceRule(
                        allow: true, type: host.device.type, major: host.device.major, minor: host.device.minor,
                        access: host.access)
                }
        }
        return all
    }
}

extension OCIResources {
    /// What was set of the limits, nothing else.
    init(limits: ResourceLimits) {
        self.init()
        var cpu = OCICPU()
        if limits.cpuPeriod > 0 { cpu.period = UInt64(limits.cpuPeriod) }
        if limits.cpuQuota != 0 { cpu.quota = limits.cpuQuota }
        if limits.cpuShares > 0 { cpu.shares = UInt64(limits.cpuShares) }
        if !limits.cpusetCPUs.isEmpty { cpu.cpus = limits.cpusetCPUs }
        if !limits.cpusetMems.isEmpty { cpu.mems = limits.cpusetMems }
        if cpu != OCICPU() { self.cpu = cpu }
        var memory = OCIMemory()
        if limits.memoryLimit != 0 { memory.limit = limits.memoryLimit }
        if limits.memorySwapLimit != 0 { memory.swap = limits.memorySwapLimit }
        if memory != OCIMemory() { self.memory = memory }
        if !limits.hugepages.isEmpty {
            hugepageLimits = limits.hugepages.sorted { $0.key < $1.key }.map { size, limit in
                OCIHugepageLimit(pageSize: size, limit: limit)
            }
        }
        if !limits.unified.isEmpty { unified = limits.unified }
    }
}
