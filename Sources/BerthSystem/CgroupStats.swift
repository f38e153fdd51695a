/// What a cgroup used, from v1 or v2 files; absent where the kernel has no such controller.
package struct CgroupStats: Sendable, Hashable, Codable {
    package var cpuUsageNanoseconds: UInt64?
    package var cpuUserNanoseconds: UInt64?
    package var cpuSystemNanoseconds: UInt64?
    package var periods: UInt64?
    package var throttledPeriods: UInt64?
    package var throttledNanoseconds: UInt64?
    package var memoryUsageBytes: UInt64?
    package var memoryLimitBytes: UInt64?
    package var memoryPeakBytes: UInt64?
    package var memoryInactiveFileBytes: UInt64?
    package var memoryAnonBytes: UInt64?
    package var memoryFileBytes: UInt64?
    package var swapUsageBytes: UInt64?
    package var pageFaults: UInt64?
    package var majorPageFaults: UInt64?
    package var oomKills: UInt64?
    package var pids: UInt64?
    package var pidsLimit: UInt64?
    package var blockReadBytes: UInt64?
    package var blockWriteBytes: UInt64?

    package init() {}
}
