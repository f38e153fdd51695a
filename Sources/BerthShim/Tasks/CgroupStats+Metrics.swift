internal import BerthBase
internal import BerthShimAPI
internal import BerthSystem

extension CgroupStats {
    /// The message that containerd's clients read, of the cgroup version the host has.
    func metrics(isV2: Bool) -> WireAny { isV2 ? unified.asAny : legacy.asAny }

    private var legacy: CgroupV1Metrics {
        var message = CgroupV1Metrics()
        var pids = CgroupV1PidsStat()
        pids.current = self.pids ?? 0
        pids.limit = pidsLimit ?? 0
        message.pids = pids
        var cpu = CgroupV1CPUStat()
        var usage = CgroupV1CPUUsage()
        usage.total = cpuUsageNanoseconds ?? 0
        usage.user = cpuUserNanoseconds ?? 0
        usage.kernel = cpuSystemNanoseconds ?? 0
        cpu.usage = usage
        var throttling = CgroupV1Throttle()
        throttling.periods = periods ?? 0
        throttling.throttledPeriods = throttledPeriods ?? 0
        throttling.throttledTime = throttledNanoseconds ?? 0
        cpu.throttling = throttling
        message.cpu = cpu
        message.memory = legacyMemory
        var control = CgroupV1MemoryOomControl()
        control.oomKill = oomKills ?? 0
        message.memoryOomControl = control
        message.blkio = legacyIO
        return message
    }

    private var legacyMemory: CgroupV1MemoryStat {
        var memory = CgroupV1MemoryStat()
        memory.cache = memoryFileBytes ?? 0
        memory.totalCache = memoryFileBytes ?? 0
        memory.rss = memoryAnonBytes ?? 0
        memory.totalRss = memoryAnonBytes ?? 0
        memory.pgFault = pageFaults ?? 0
        memory.totalPgFault = pageFaults ?? 0
        memory.pgMajFault = majorPageFaults ?? 0
        memory.totalPgMajFault = majorPageFaults ?? 0
        memory.inactiveFile = memoryInactiveFileBytes ?? 0
        memory.totalInactiveFile = memoryInactiveFileBytes ?? 0
        var usage = CgroupV1MemoryEntry()
        usage.usage = memoryUsageBytes ?? 0
        usage.limit = memoryLimitBytes ?? 0
        usage.max = memoryPeakBytes ?? 0
        memory.usage = usage
        var swap = CgroupV1MemoryEntry()
        swap.usage = swapUsageBytes ?? 0
        memory.swap = swap
        return memory
    }

    private var legacyIO: CgroupV1BlkIOStat {
        var stat = CgroupV1BlkIOStat()
        for (operation, value) in [("Read", blockReadBytes), ("Write", blockWriteBytes)] {
            guard let value else { continue }
            var entry = CgroupV1BlkIOEntry()
            entry.op = operation
            entry.value = value
            stat.ioServiceBytesRecursive.append(entry)
        }
        return stat
    }

    private var unified: CgroupV2Metrics {
        var message = CgroupV2Metrics()
        var pids = CgroupV2PidsStat()
        pids.current = self.pids ?? 0
        pids.limit = pidsLimit ?? 0
        message.pids = pids
        var cpu = CgroupV2CPUStat()
        cpu.usageUsec = (cpuUsageNanoseconds ?? 0) / 1000
        cpu.userUsec = (cpuUserNanoseconds ?? 0) / 1000
        cpu.systemUsec = (cpuSystemNanoseconds ?? 0) / 1000
        cpu.nrPeriods = periods ?? 0
        cpu.nrThrottled = throttledPeriods ?? 0
        cpu.throttledUsec = (throttledNanoseconds ?? 0) / 1000
        message.cpu = cpu
        var memory = CgroupV2MemoryStat()
        memory.anon = memoryAnonBytes ?? 0
        memory.file = memoryFileBytes ?? 0
        memory.inactiveFile = memoryInactiveFileBytes ?? 0
        memory.pgfault = pageFaults ?? 0
        memory.pgmajfault = majorPageFaults ?? 0
        memory.usage = memoryUsageBytes ?? 0
        memory.usageLimit = memoryLimitBytes ?? 0
        memory.maxUsage = memoryPeakBytes ?? 0
        memory.swapUsage = swapUsageBytes ?? 0
        message.memory = memory
        var events = CgroupV2MemoryEvents()
        events.oomKill = oomKills ?? 0
        message.memoryEvents = events
        var io = CgroupV2IOStat()
        var entry = CgroupV2IOEntry()
        entry.rbytes = blockReadBytes ?? 0
        entry.wbytes = blockWriteBytes ?? 0
        io.usage = [entry]
        message.io = io
        return message
    }
}
