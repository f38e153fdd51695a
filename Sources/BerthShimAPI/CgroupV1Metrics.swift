/// The metrics of a cgroup v1.
package struct CgroupV1Metrics: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.Metrics" }
    package var hugetlb: [CgroupV1HugetlbStat] = []
    package var pids: CgroupV1PidsStat?
    package var cpu: CgroupV1CPUStat?
    package var memory: CgroupV1MemoryStat?
    package var blkio: CgroupV1BlkIOStat?
    package var rdma: CgroupV1RdmaStat?
    package var network: [CgroupV1NetworkStat] = []
    package var cgroupStats: CgroupV1CgroupStats?
    package var memoryOomControl: CgroupV1MemoryOomControl?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &hugetlb)
        try wire.field(2, &pids)
        try wire.field(3, &cpu)
        try wire.field(4, &memory)
        try wire.field(5, &blkio)
        try wire.field(6, &rdma)
        try wire.field(7, &network)
        try wire.field(8, &cgroupStats)
        try wire.field(9, &memoryOomControl)
    }
}

package struct CgroupV1HugetlbStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.HugetlbStat" }
    package var usage: UInt64 = 0
    package var max: UInt64 = 0
    package var failcnt: UInt64 = 0
    package var pagesize = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &usage)
        try wire.field(2, &max)
        try wire.field(3, &failcnt)
        try wire.field(4, &pagesize)
    }
}

package struct CgroupV1PidsStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.PidsStat" }
    package var current: UInt64 = 0
    package var limit: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &current)
        try wire.field(2, &limit)
    }
}

package struct CgroupV1CPUStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.CPUStat" }
    package var usage: CgroupV1CPUUsage?
    package var throttling: CgroupV1Throttle?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &usage)
        try wire.field(2, &throttling)
    }
}

package struct CgroupV1CPUUsage: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.CPUUsage" }
    package var total: UInt64 = 0
    package var kernel: UInt64 = 0
    package var user: UInt64 = 0
    package var perCpu: [UInt64] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &total)
        try wire.field(2, &kernel)
        try wire.field(3, &user)
        try wire.field(4, &perCpu)
    }
}

package struct CgroupV1Throttle: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.Throttle" }
    package var periods: UInt64 = 0
    package var throttledPeriods: UInt64 = 0
    package var throttledTime: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &periods)
        try wire.field(2, &throttledPeriods)
        try wire.field(3, &throttledTime)
    }
}

package struct CgroupV1MemoryStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.MemoryStat" }
    package var cache: UInt64 = 0
    package var rss: UInt64 = 0
    package var rssHuge: UInt64 = 0
    package var mappedFile: UInt64 = 0
    package var dirty: UInt64 = 0
    package var writeback: UInt64 = 0
    package var pgPgIn: UInt64 = 0
    package var pgPgOut: UInt64 = 0
    package var pgFault: UInt64 = 0
    package var pgMajFault: UInt64 = 0
    package var inactiveAnon: UInt64 = 0
    package var activeAnon: UInt64 = 0
    package var inactiveFile: UInt64 = 0
    package var activeFile: UInt64 = 0
    package var unevictable: UInt64 = 0
    package var hierarchicalMemoryLimit: UInt64 = 0
    package var hierarchicalSwapLimit: UInt64 = 0
    package var totalCache: UInt64 = 0
    package var totalRss: UInt64 = 0
    package var totalRssHuge: UInt64 = 0
    package var totalMappedFile: UInt64 = 0
    package var totalDirty: UInt64 = 0
    package var totalWriteback: UInt64 = 0
    package var totalPgPgIn: UInt64 = 0
    package var totalPgPgOut: UInt64 = 0
    package var totalPgFault: UInt64 = 0
    package var totalPgMajFault: UInt64 = 0
    package var totalInactiveAnon: UInt64 = 0
    package var totalActiveAnon: UInt64 = 0
    package var totalInactiveFile: UInt64 = 0
    package var totalActiveFile: UInt64 = 0
    package var totalUnevictable: UInt64 = 0
    package var usage: CgroupV1MemoryEntry?
    package var swap: CgroupV1MemoryEntry?
    package var kernel: CgroupV1MemoryEntry?
    package var kernelTcp: CgroupV1MemoryEntry?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &cache)
        try wire.field(2, &rss)
        try wire.field(3, &rssHuge)
        try wire.field(4, &mappedFile)
        try wire.field(5, &dirty)
        try wire.field(6, &writeback)
        try wire.field(7, &pgPgIn)
        try wire.field(8, &pgPgOut)
        try wire.field(9, &pgFault)
        try wire.field(10, &pgMajFault)
        try wire.field(11, &inactiveAnon)
        try wire.field(12, &activeAnon)
        try wire.field(13, &inactiveFile)
        try wire.field(14, &activeFile)
        try wire.field(15, &unevictable)
        try wire.field(16, &hierarchicalMemoryLimit)
        try wire.field(17, &hierarchicalSwapLimit)
        try wire.field(18, &totalCache)
        try wire.field(19, &totalRss)
        try wire.field(20, &totalRssHuge)
        try wire.field(21, &totalMappedFile)
        try wire.field(22, &totalDirty)
        try wire.field(23, &totalWriteback)
        try wire.field(24, &totalPgPgIn)
        try wire.field(25, &totalPgPgOut)
        try wire.field(26, &totalPgFault)
        try wire.field(27, &totalPgMajFault)
        try wire.field(28, &totalInactiveAnon)
        try wire.field(29, &totalActiveAnon)
        try wire.field(30, &totalInactiveFile)
        try wire.field(31, &totalActiveFile)
        try wire.field(32, &totalUnevictable)
        try wire.field(33, &usage)
        try wire.field(34, &swap)
        try wire.field(35, &kernel)
        try wire.field(36, &kernelTcp)
    }
}

package struct CgroupV1MemoryEntry: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.MemoryEntry" }
    package var limit: UInt64 = 0
    package var usage: UInt64 = 0
    package var max: UInt64 = 0
    package var failcnt: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &limit)
        try wire.field(2, &usage)
        try wire.field(3, &max)
        try wire.field(4, &failcnt)
    }
}

package struct CgroupV1MemoryOomControl: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.MemoryOomControl" }
    package var oomKillDisable: UInt64 = 0
    package var underOom: UInt64 = 0
    package var oomKill: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &oomKillDisable)
        try wire.field(2, &underOom)
        try wire.field(3, &oomKill)
    }
}

package struct CgroupV1BlkIOStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.BlkIOStat" }
    package var ioServiceBytesRecursive: [CgroupV1BlkIOEntry] = []
    package var ioServicedRecursive: [CgroupV1BlkIOEntry] = []
    package var ioQueuedRecursive: [CgroupV1BlkIOEntry] = []
    package var ioServiceTimeRecursive: [CgroupV1BlkIOEntry] = []
    package var ioWaitTimeRecursive: [CgroupV1BlkIOEntry] = []
    package var ioMergedRecursive: [CgroupV1BlkIOEntry] = []
    package var ioTimeRecursive: [CgroupV1BlkIOEntry] = []
    package var sectorsRecursive: [CgroupV1BlkIOEntry] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &ioServiceBytesRecursive)
        try wire.field(2, &ioServicedRecursive)
        try wire.field(3, &ioQueuedRecursive)
        try wire.field(4, &ioServiceTimeRecursive)
        try wire.field(5, &ioWaitTimeRecursive)
        try wire.field(6, &ioMergedRecursive)
        try wire.field(7, &ioTimeRecursive)
        try wire.field(8, &sectorsRecursive)
    }
}

package struct CgroupV1BlkIOEntry: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.BlkIOEntry" }
    package var op = ""
    package var device = ""
    package var major: UInt64 = 0
    package var minor: UInt64 = 0
    package var value: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &op)
        try wire.field(2, &device)
        try wire.field(3, &major)
        try wire.field(4, &minor)
        try wire.field(5, &value)
    }
}

package struct CgroupV1RdmaStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.RdmaStat" }
    package var current: [CgroupV1RdmaEntry] = []
    package var limit: [CgroupV1RdmaEntry] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &current)
        try wire.field(2, &limit)
    }
}

package struct CgroupV1RdmaEntry: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.RdmaEntry" }
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

package struct CgroupV1NetworkStat: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.NetworkStat" }
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

package struct CgroupV1CgroupStats: WireMessage {
    package static var messageName: String { "io.containerd.cgroups.v1.CgroupStats" }
    package var nrSleeping: UInt64 = 0
    package var nrRunning: UInt64 = 0
    package var nrStopped: UInt64 = 0
    package var nrUninterruptible: UInt64 = 0
    package var nrIoWait: UInt64 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &nrSleeping)
        try wire.field(2, &nrRunning)
        try wire.field(3, &nrStopped)
        try wire.field(4, &nrUninterruptible)
        try wire.field(5, &nrIoWait)
    }
}
