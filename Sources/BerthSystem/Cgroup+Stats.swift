internal import SystemPackage

extension Cgroup {
    /// What the cgroup has used until now; what cannot be read is absent.
    package func stats() -> CgroupStats { host.isV2 ? unifiedStats() : legacyStats() }

    private func unifiedStats() -> CgroupStats {
        var stats = CgroupStats()
        let cpu = table("cpu", "cpu.stat")
        stats.cpuUsageNanoseconds = cpu["usage_usec"].map { $0 * 1000 }
        stats.cpuUserNanoseconds = cpu["user_usec"].map { $0 * 1000 }
        stats.cpuSystemNanoseconds = cpu["system_usec"].map { $0 * 1000 }
        stats.periods = cpu["nr_periods"]
        stats.throttledPeriods = cpu["nr_throttled"]
        stats.throttledNanoseconds = cpu["throttled_usec"].map { $0 * 1000 }
        stats.memoryUsageBytes = number("memory", "memory.current")
        stats.memoryLimitBytes = number("memory", "memory.max")
        stats.memoryPeakBytes = number("memory", "memory.peak")
        stats.swapUsageBytes = number("memory", "memory.swap.current")
        let memory = table("memory", "memory.stat")
        stats.memoryInactiveFileBytes = memory["inactive_file"]
        stats.memoryAnonBytes = memory["anon"]
        stats.memoryFileBytes = memory["file"]
        stats.pageFaults = memory["pgfault"]
        stats.majorPageFaults = memory["pgmajfault"]
        stats.oomKills = table("memory", "memory.events")["oom_kill"]
        stats.pids = number("pids", "pids.current")
        stats.pidsLimit = number("pids", "pids.max")
        let io = (try? Files.text((directory(of: "io") ?? "") + "/io.stat")) ?? ""
        for field in io.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
            let value = UInt64(field.dropFirst(7)) ?? 0
            if field.hasPrefix("rbytes=") { stats.blockReadBytes = (stats.blockReadBytes ?? 0) + value }
            if field.hasPrefix("wbytes=") { stats.blockWriteBytes = (stats.blockWriteBytes ?? 0) + value }
        }
        return stats
    }

    private func legacyStats() -> CgroupStats {
        var stats = CgroupStats()
        stats.cpuUsageNanoseconds = number("cpuacct", "cpuacct.usage")
        stats.cpuUserNanoseconds = number("cpuacct", "cpuacct.usage_user")
        stats.cpuSystemNanoseconds = number("cpuacct", "cpuacct.usage_sys")
        let cpu = table("cpu", "cpu.stat")
        stats.periods = cpu["nr_periods"]
        stats.throttledPeriods = cpu["nr_throttled"]
        stats.throttledNanoseconds = cpu["throttled_time"]
        stats.memoryUsageBytes = number("memory", "memory.usage_in_bytes")
        stats.memoryLimitBytes = number("memory", "memory.limit_in_bytes")
        stats.memoryPeakBytes = number("memory", "memory.max_usage_in_bytes")
        let memory = table("memory", "memory.stat")
        stats.memoryInactiveFileBytes = memory["total_inactive_file"]
        stats.memoryAnonBytes = memory["total_rss"]
        stats.memoryFileBytes = memory["total_cache"]
        stats.swapUsageBytes = memory["total_swap"]
        stats.pageFaults = memory["total_pgfault"]
        stats.majorPageFaults = memory["total_pgmajfault"]
        stats.oomKills = table("memory", "memory.oom_control")["oom_kill"]
        stats.pids = number("pids", "pids.current")
        stats.pidsLimit = number("pids", "pids.max")
        let io = (try? Files.text((directory(of: "blkio") ?? "") + "/blkio.throttle.io_service_bytes")) ?? ""
        for line in io.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count == 3, let value = UInt64(fields[2]) else { continue }
            if fields[1] == "Read" { stats.blockReadBytes = (stats.blockReadBytes ?? 0) + value }
            if fields[1] == "Write" { stats.blockWriteBytes = (stats.blockWriteBytes ?? 0) + value }
        }
        return stats
    }

    private func number(_ controller: String, _ file: String) -> UInt64? {
        guard let directory = directory(of: controller) else { return nil }
        return (try? Files.text("\(directory)/\(file)")).flatMap { UInt64($0) }
    }

    private func table(_ controller: String, _ file: String) -> [String: UInt64] {
        guard let directory = directory(of: controller), let text = try? Files.text("\(directory)/\(file)") else {
            return [:]
        }
        var values: [String: UInt64] = [:]
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count == 2 { values[String(fields[0])] = UInt64(fields[1]) }
        }
        return values
    }
}
