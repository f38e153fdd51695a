internal import BerthAPI
internal import BerthBase
internal import BerthServices
internal import BerthShimAPI

/// What a cgroup uses, from containerd's metrics message of either version.
struct CgroupUsage: Sendable, Hashable {
    var cpuNanoseconds: UInt64 = 0
    var memory: UInt64 = 0
    var workingSet: UInt64 = 0
    var rss: UInt64 = 0
    var pageFaults: UInt64 = 0
    var majorPageFaults: UInt64 = 0
    /// Nil: no limit.
    var memoryLimit: UInt64?
    var swap: UInt64 = 0
    /// Nil: no limit.
    var swapLimit: UInt64?
    var processes: UInt64 = 0

    /// - Throws: `unimplemented` for a message of another type.
    init(_ message: AnyMessage) throws {
        let name = message.typeURL.split(separator: "/").last.map(String.init) ?? ""
        switch name {
        case CgroupV1Metrics.messageName: self.init(try CgroupV1Metrics(decoding: message.value))
        case CgroupV2Metrics.messageName: self.init(try CgroupV2Metrics(decoding: message.value))
        default: throw BerthError(.unimplemented, "read metrics of type '\(message.typeURL)'")
        }
    }

    /// The kernel's "no limit" is the largest number of pages, or of bytes.
    private static func limit(_ value: UInt64) -> UInt64? { value == 0 || value >= 1 << 62 ? nil : value }

    init(_ metrics: CgroupV1Metrics) {
        cpuNanoseconds = metrics.cpu?.usage?.total ?? 0
        processes = metrics.pids?.current ?? 0
        guard let memory = metrics.memory else { return }
        let usage = memory.usage?.usage ?? 0
        self.memory = usage
        workingSet = usage > memory.totalInactiveFile ? usage - memory.totalInactiveFile : 0
        rss = memory.totalRss
        pageFaults = memory.totalPgFault
        majorPageFaults = memory.totalPgMajFault
        memoryLimit = Self.limit(memory.usage?.limit ?? 0)
        // v1 counts memory and swap together.
        let both = memory.swap?.usage ?? 0
        swap = both > usage ? both - usage : 0
        if let limit = Self.limit(memory.swap?.limit ?? 0), let own = memoryLimit, limit >= own {
            swapLimit = limit - own
        }
    }

    init(_ metrics: CgroupV2Metrics) {
        cpuNanoseconds = (metrics.cpu?.usageUsec ?? 0) &* 1000
        processes = metrics.pids?.current ?? 0
        guard let memory = metrics.memory else { return }
        self.memory = memory.usage
        workingSet = memory.usage > memory.inactiveFile ? memory.usage - memory.inactiveFile : 0
        rss = memory.anon
        pageFaults = memory.pgfault
        majorPageFaults = memory.pgmajfault
        memoryLimit = Self.limit(memory.usageLimit)
        swap = memory.swapUsage
        swapLimit = Self.limit(memory.swapLimit)
    }

    func cpuMessage(at time: Int64, nanoCores: UInt64?) -> Runtime_V1_CpuUsage {
        var message = Runtime_V1_CpuUsage()
        message.timestamp = time
        message.usageCoreNanoSeconds.value = cpuNanoseconds
        if let nanoCores { message.usageNanoCores.value = nanoCores }
        return message
    }

    func memoryMessage(at time: Int64) -> Runtime_V1_MemoryUsage {
        var message = Runtime_V1_MemoryUsage()
        message.timestamp = time
        message.workingSetBytes.value = workingSet
        if let memoryLimit { message.availableBytes.value = memoryLimit > workingSet ? memoryLimit - workingSet : 0 }
        message.usageBytes.value = memory
        message.rssBytes.value = rss
        message.pageFaults.value = pageFaults
        message.majorPageFaults.value = majorPageFaults
        return message
    }

    func swapMessage(at time: Int64) -> Runtime_V1_SwapUsage {
        var message = Runtime_V1_SwapUsage()
        message.timestamp = time
        message.swapUsageBytes.value = swap
        if let swapLimit { message.swapAvailableBytes.value = swapLimit > swap ? swapLimit - swap : 0 }
        return message
    }
}

/// CPU use per second, between two reads of one container.
final class CPURates: Sendable {
    /// Two reads closer than this say nothing about a rate; the one before is told again.
    static let shortest: Int64 = 500_000_000
    /// Containers remembered; when it is full all are forgotten.
    static let maxSamples = 4096

    private struct Sample {
        var time: Int64
        var usage: UInt64
        var rate: UInt64?
    }
    private let samples = Shared<[ContainerID: Sample]>([:])

    /// Billionths of a core since the last read; nil for the first.
    func rate(of id: ContainerID, usage: UInt64, at time: Int64) -> UInt64? {
        samples.withLock { samples in
            guard let last = samples[id] else {
                if samples.count >= Self.maxSamples { samples.removeAll() }
                samples[id] = Sample(time: time, usage: usage)
                return nil
            }
            let elapsed = time - last.time
            guard elapsed >= Self.shortest else { return last.rate }
            let used = usage > last.usage ? usage - last.usage : 0
            let rate = UInt64(Double(used) / Double(elapsed) * 1e9)
            samples[id] = Sample(time: time, usage: usage, rate: rate)
            return rate
        }
    }
}
