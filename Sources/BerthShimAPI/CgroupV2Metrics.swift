/// The metrics of a cgroup v2.
package struct CgroupV2Metrics: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.Metrics" }
    package var pids: CgroupV2PidsStat?
    package var cpu: CgroupV2CPUStat?
    package var memory: CgroupV2MemoryStat?
    package var rdma: CgroupV2RdmaStat?
    package var io: CgroupV2IOStat?
    package var hugetlb: [CgroupV2HugeTlbStat] = []
    package var memoryEvents: CgroupV2MemoryEvents?
    package var network: [CgroupV2NetworkStat] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &pids)
        try wire.field(2, &cpu)
        try wire.field(4, &memory)
        try wire.field(5, &rdma)
        try wire.field(6, &io)
        try wire.field(7, &hugetlb)
        try wire.field(8, &memoryEvents)
        try wire.field(9, &network)
    }
}

package struct CgroupV2PSIData: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.PSIData" }
    package var avg10: Double = 0
    package var avg60: Double = 0
    package var avg300: Double = 0
    package var total: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &avg10)
        try wire.field(2, &avg60)
        try wire.field(3, &avg300)
        try wire.field(4, &total)
    }
}

package struct CgroupV2PSIStats: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.PSIStats" }
    package var some: CgroupV2PSIData?
    package var full: CgroupV2PSIData?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &some)
        try wire.field(2, &full)
    }
}

package struct CgroupV2PidsStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.PidsStat" }
    package var current: UInt64 = 0
    package var limit: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &current)
        try wire.field(2, &limit)
    }
}

package struct CgroupV2CPUStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.CPUStat" }
    package var usageUsec: UInt64 = 0
    package var userUsec: UInt64 = 0
    package var systemUsec: UInt64 = 0
    package var nrPeriods: UInt64 = 0
    package var nrThrottled: UInt64 = 0
    package var throttledUsec: UInt64 = 0
    package var psi: CgroupV2PSIStats?
    package var nrBursts: UInt64 = 0
    package var burstUsec: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &usageUsec)
        try wire.field(2, &userUsec)
        try wire.field(3, &systemUsec)
        try wire.field(4, &nrPeriods)
        try wire.field(5, &nrThrottled)
        try wire.field(6, &throttledUsec)
        try wire.field(7, &psi)
        try wire.field(8, &nrBursts)
        try wire.field(9, &burstUsec)
    }
}

package struct CgroupV2MemoryStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.MemoryStat" }
    package var anon: UInt64 = 0
    package var file: UInt64 = 0
    package var kernelStack: UInt64 = 0
    package var slab: UInt64 = 0
    package var sock: UInt64 = 0
    package var shmem: UInt64 = 0
    package var fileMapped: UInt64 = 0
    package var fileDirty: UInt64 = 0
    package var fileWriteback: UInt64 = 0
    package var anonThp: UInt64 = 0
    package var inactiveAnon: UInt64 = 0
    package var activeAnon: UInt64 = 0
    package var inactiveFile: UInt64 = 0
    package var activeFile: UInt64 = 0
    package var unevictable: UInt64 = 0
    package var slabReclaimable: UInt64 = 0
    package var slabUnreclaimable: UInt64 = 0
    package var pgfault: UInt64 = 0
    package var pgmajfault: UInt64 = 0
    package var workingsetRefault: UInt64 = 0
    package var workingsetActivate: UInt64 = 0
    package var workingsetNodereclaim: UInt64 = 0
    package var pgrefill: UInt64 = 0
    package var pgscan: UInt64 = 0
    package var pgsteal: UInt64 = 0
    package var pgactivate: UInt64 = 0
    package var pgdeactivate: UInt64 = 0
    package var pglazyfree: UInt64 = 0
    package var pglazyfreed: UInt64 = 0
    package var thpFaultAlloc: UInt64 = 0
    package var thpCollapseAlloc: UInt64 = 0
    package var usage: UInt64 = 0
    package var usageLimit: UInt64 = 0
    package var swapUsage: UInt64 = 0
    package var swapLimit: UInt64 = 0
    package var maxUsage: UInt64 = 0
    package var swapMaxUsage: UInt64 = 0
    package var psi: CgroupV2PSIStats?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &anon)
        try wire.field(2, &file)
        try wire.field(3, &kernelStack)
        try wire.field(4, &slab)
        try wire.field(5, &sock)
        try wire.field(6, &shmem)
        try wire.field(7, &fileMapped)
        try wire.field(8, &fileDirty)
        try wire.field(9, &fileWriteback)
        try wire.field(10, &anonThp)
        try wire.field(11, &inactiveAnon)
        try wire.field(12, &activeAnon)
        try wire.field(13, &inactiveFile)
        try wire.field(14, &activeFile)
        try wire.field(15, &unevictable)
        try wire.field(16, &slabReclaimable)
        try wire.field(17, &slabUnreclaimable)
        try wire.field(18, &pgfault)
        try wire.field(19, &pgmajfault)
        try wire.field(20, &workingsetRefault)
        try wire.field(21, &workingsetActivate)
        try wire.field(22, &workingsetNodereclaim)
        try wire.field(23, &pgrefill)
        try wire.field(24, &pgscan)
        try wire.field(25, &pgsteal)
        try wire.field(26, &pgactivate)
        try wire.field(27, &pgdeactivate)
        try wire.field(28, &pglazyfree)
        try wire.field(29, &pglazyfreed)
        try wire.field(30, &thpFaultAlloc)
        try wire.field(31, &thpCollapseAlloc)
        try wire.field(32, &usage)
        try wire.field(33, &usageLimit)
        try wire.field(34, &swapUsage)
        try wire.field(35, &swapLimit)
        try wire.field(36, &maxUsage)
        try wire.field(37, &swapMaxUsage)
        try wire.field(38, &psi)
    }
}

package struct CgroupV2MemoryEvents: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.MemoryEvents" }
    package var low: UInt64 = 0
    package var high: UInt64 = 0
    package var max: UInt64 = 0
    package var oom: UInt64 = 0
    package var oomKill: UInt64 = 0
    package var oomGroupKill: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &low)
        try wire.field(2, &high)
        try wire.field(3, &max)
        try wire.field(4, &oom)
        try wire.field(5, &oomKill)
        try wire.field(6, &oomGroupKill)
    }
}

package struct CgroupV2RdmaStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.RdmaStat" }
    package var current: [CgroupV2RdmaEntry] = []
    package var limit: [CgroupV2RdmaEntry] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &current)
        try wire.field(2, &limit)
    }
}

package struct CgroupV2RdmaEntry: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.RdmaEntry" }
    package var device = ""
    package var hcaHandles: UInt32 = 0
    package var hcaObjects: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &device)
        try wire.field(2, &hcaHandles)
        try wire.field(3, &hcaObjects)
    }
}

package struct CgroupV2IOStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.IOStat" }
    package var usage: [CgroupV2IOEntry] = []
    package var psi: CgroupV2PSIStats?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &usage)
        try wire.field(2, &psi)
    }
}

package struct CgroupV2IOEntry: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.IOEntry" }
    package var major: UInt64 = 0
    package var minor: UInt64 = 0
    package var rbytes: UInt64 = 0
    package var wbytes: UInt64 = 0
    package var rios: UInt64 = 0
    package var wios: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &major)
        try wire.field(2, &minor)
        try wire.field(3, &rbytes)
        try wire.field(4, &wbytes)
        try wire.field(5, &rios)
        try wire.field(6, &wios)
    }
}

package struct CgroupV2HugeTlbStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.HugeTlbStat" }
    package var current: UInt64 = 0
    package var max: UInt64 = 0
    package var pagesize = ""
    package var failcnt: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &current)
        try wire.field(2, &max)
        try wire.field(3, &pagesize)
        try wire.field(4, &failcnt)
    }
}

package struct CgroupV2NetworkStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v2.NetworkStat" }
    package var name = ""
    package var rxBytes: UInt64 = 0
    package var rxPackets: UInt64 = 0
    package var rxErrors: UInt64 = 0
    package var rxDropped: UInt64 = 0
    package var txBytes: UInt64 = 0
    package var txPackets: UInt64 = 0
    package var txErrors: UInt64 = 0
    package var txDropped: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &name)
        try wire.field(2, &rxBytes)
        try wire.field(3, &rxPackets)
        try wire.field(4, &rxErrors)
        try wire.field(5, &rxDropped)
        try wire.field(6, &txBytes)
        try wire.field(7, &txPackets)
        try wire.field(8, &txErrors)
        try wire.field(9, &txDropped)
    }
}
