internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import SystemPackage

/// Writes the limits of a specification into a cgroup's files.
struct CgroupResources {
    let cgroup: Cgroup
    let resources: OCIResources

    /// Applies all limits.
    ///
    /// - Parameter updating: an `update` leaves the device rules as they are.
    /// - Throws: `failedPrecondition` if the host has no controller for a limit, by its name.
    func apply(updating: Bool = false) throws(BerthError) {
        if cgroup.host.isV2 { try applyUnified(updating: updating) } else { try applyLegacy(updating: updating) }
    }

    // MARK: v1

    private func applyLegacy(updating: Bool) throws(BerthError) {
        if let unified = resources.unified, !unified.isEmpty {
            throw BerthError(.failedPrecondition, "linux.resources.unified needs cgroup v2, which this host has not")
        }
        if !updating, let devices = resources.devices, !devices.isEmpty { try applyDevices(devices) }
        try applyLegacyMemory()
        try applyLegacyCPU()
        try applyCpuset()
        try applyPids()
        try applyLegacyBlockIO()
        for limit in resources.hugepageLimits ?? [] {
            try set("hugetlb", "hugetlb.\(limit.pageSize).limit_in_bytes", limit.limit, "hugepageLimits")
        }
        if let id = resources.network?.classID { try set("net_cls", "net_cls.classid", id, "network.classID") }
        for priority in resources.network?.priorities ?? [] {
            try write("net_prio", "net_prio.ifpriomap", "\(priority.name) \(priority.priority)", "network.priorities")
        }
        try applyRdma()
    }

    /// The order of limit and limit with swap matters: neither may pass the other on the way.
    private func applyLegacyMemory() throws(BerthError) {
        guard let memory = resources.memory else { return }
        let limit = memory.limit.flatMap { $0 == 0 ? nil : $0 }, swap = memory.swap.flatMap { $0 == 0 ? nil : $0 }
        let limitStep = { () throws(BerthError) in
            if let limit { try set("memory", "memory.limit_in_bytes", limit, "memory.limit") }
        }
        let swapStep = { () throws(BerthError) in
            if let swap { try set("memory", "memory.memsw.limit_in_bytes", swap, "memory.swap") }
        }
        if let limit, let swap, try raises(limit, swap) {
            try swapStep()
            try limitStep()
        } else {
            try limitStep()
            try swapStep()
        }
        if let value = memory.reservation, value != 0 {
            try set("memory", "memory.soft_limit_in_bytes", value, "memory.reservation")
        }
        if let value = memory.kernelTCP, value != 0 {
            try set("memory", "memory.kmem.tcp.limit_in_bytes", value, "memory.kernelTCP")
        }
        if let value = memory.swappiness { try set("memory", "memory.swappiness", value, "memory.swappiness") }
        if memory.disableOOMKiller == true { try set("memory", "memory.oom_control", 1, "memory.disableOOMKiller") }
    }

    /// Whether the new limit with swap is above the present one, so that it must be raised first.
    private func raises(_ limit: Int64, _ swap: Int64) throws(BerthError) -> Bool {
        guard let directory = cgroup.directory(of: "memory"),
            let text = try? Files.text(directory + "/memory.memsw.limit_in_bytes"), let now = UInt64(text)
        else { return false }
        return swap == -1 || UInt64(clamping: swap) > now
    }

    private func applyLegacyCPU() throws(BerthError) {
        guard let cpu = resources.cpu else { return }
        if let shares = cpu.shares, shares != 0 { try set("cpu", "cpu.shares", shares, "cpu.shares") }
        if let period = cpu.period, period != 0 { try set("cpu", "cpu.cfs_period_us", period, "cpu.period") }
        if let burst = cpu.burst, burst == 0 { try set("cpu", "cpu.cfs_burst_us", burst, "cpu.burst") }
        if let quota = cpu.quota, quota != 0 { try set("cpu", "cpu.cfs_quota_us", quota, "cpu.quota") }
        if let burst = cpu.burst, burst != 0 { try set("cpu", "cpu.cfs_burst_us", burst, "cpu.burst") }
        if let period = cpu.realtimePeriod, period != 0 {
            try set("cpu", "cpu.rt_period_us", period, "cpu.realtimePeriod")
        }
        if let runtime = cpu.realtimeRuntime, runtime != 0 {
            try set("cpu", "cpu.rt_runtime_us", runtime, "cpu.realtimeRuntime")
        }
        if let idle = cpu.idle { try set("cpu", "cpu.idle", idle, "cpu.idle") }
    }

    private func applyLegacyBlockIO() throws(BerthError) {
        guard let io = resources.blockIO else { return }
        if let weight = io.weight, weight != 0 {
            let file = has("blkio", "blkio.weight") ? "blkio.weight" : "blkio.bfq.weight"
            try set("blkio", file, weight, "blockIO.weight")
        }
        if let weight = io.leafWeight, weight != 0 {
            try set("blkio", "blkio.leaf_weight", weight, "blockIO.leafWeight")
        }
        for device in io.weightDevice ?? [] {
            if let weight = device.weight {
                try write(
                    "blkio", "blkio.weight_device", "\(device.major):\(device.minor) \(weight)", "blockIO.weightDevice")
            }
            if let weight = device.leafWeight {
                try write(
                    "blkio", "blkio.leaf_weight_device", "\(device.major):\(device.minor) \(weight)",
                    "blockIO.weightDevice")
            }
        }
        for (file, devices) in [
            ("read_bps_device", io.throttleReadBpsDevice), ("write_bps_device", io.throttleWriteBpsDevice),
            ("read_iops_device", io.throttleReadIOPSDevice), ("write_iops_device", io.throttleWriteIOPSDevice),
        ] {
            for device in devices ?? [] {
                try write(
                    "blkio", "blkio.throttle.\(file)", "\(device.major):\(device.minor) \(device.rate)",
                    "blockIO throttling")
            }
        }
    }

    /// First everything is denied, then the rules follow in their order.
    private func applyDevices(_ rules: [OCIDeviceRule]) throws(BerthError) {
        for rule in rules {
            let file = rule.allow ? "devices.allow" : "devices.deny"
            try write("devices", file, CgroupResources.line(rule), "devices")
        }
        for line in DeviceRules.always { try write("devices", "devices.allow", line, "devices") }
    }

    private static func line(_ rule: OCIDeviceRule) -> String {
        func number(_ value: Int64?) -> String { value.map { $0 < 0 ? "*" : String($0) } ?? "*" }
        let type = rule.type ?? "a"
        if type.isEmpty || type == "a" { return "a" }
        return "\(type) \(number(rule.major)):\(number(rule.minor)) \(rule.access ?? "rwm")"
    }

    // MARK: both

    private func applyCpuset() throws(BerthError) {
        guard let cpu = resources.cpu else { return }
        if let cpus = cpu.cpus, !cpus.isEmpty { try write("cpuset", "cpuset.cpus", cpus, "cpu.cpus") }
        if let mems = cpu.mems, !mems.isEmpty { try write("cpuset", "cpuset.mems", mems, "cpu.mems") }
    }

    private func applyPids() throws(BerthError) {
        guard let limit = resources.pids?.limit, limit != 0 else { return }
        try write("pids", "pids.max", limit < 0 ? "max" : String(limit), "pids.limit")
    }

    private func applyRdma() throws(BerthError) {
        for (device, limit) in resources.rdma ?? [:] {
            let handles = limit.hcaHandles.map { " hca_handle=\($0)" } ?? ""
            let objects = limit.hcaObjects.map { " hca_object=\($0)" } ?? ""
            try write("rdma", "rdma.max", device + handles + objects, "rdma")
        }
    }

    // MARK: v2

    private func applyUnified(updating: Bool) throws(BerthError) {
        if !updating, let rules = resources.devices, !rules.isEmpty {
            try DeviceRules.attach(rules, to: cgroup.directories[0])
        }
        try applyUnifiedMemory()
        try applyUnifiedCPU()
        try applyCpuset()
        try applyPids()
        try applyUnifiedIO()
        for limit in resources.hugepageLimits ?? [] {
            try set("hugetlb", "hugetlb.\(limit.pageSize).max", limit.limit, "hugepageLimits")
        }
        try applyRdma()
        for (file, value) in (resources.unified ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard !file.contains("/"), file.contains(".") else {
                throw BerthError(.invalidArgument, "linux.resources.unified '\(file)' is not a cgroup file")
            }
            try write("", file, value, "unified '\(file)'")
        }
    }

    private func applyUnifiedMemory() throws(BerthError) {
        guard let memory = resources.memory else { return }
        func value(_ bytes: Int64) -> String { bytes < 0 ? "max" : String(bytes) }
        if let swap = memory.swap, swap != 0 {
            // The specification counts memory and swap together, v2 counts swap alone.
            if swap < 0 {
                try write("memory", "memory.swap.max", "max", "memory.swap")
            } else {
                guard let limit = memory.limit, limit > 0, swap >= limit else {
                    throw BerthError(.invalidArgument, "linux.resources.memory.swap must not be below memory.limit")
                }
                try write("memory", "memory.swap.max", String(swap - limit), "memory.swap")
            }
        }
        if let limit = memory.limit, limit != 0 { try write("memory", "memory.max", value(limit), "memory.limit") }
        if let low = memory.reservation, low != 0 {
            try write("memory", "memory.low", value(low), "memory.reservation")
        }
        if memory.disableOOMKiller == true {
            throw BerthError(.failedPrecondition, "linux.resources.memory.disableOOMKiller needs cgroup v1")
        }
    }

    private func applyUnifiedCPU() throws(BerthError) {
        guard let cpu = resources.cpu else { return }
        if let idle = cpu.idle { try set("cpu", "cpu.idle", idle, "cpu.idle") }
        if let shares = cpu.shares, shares != 0, cpu.idle != 1 {
            // 2…262144 onto 1…10000.
            try set("cpu", "cpu.weight", 1 + (max(2, min(shares, 262_144)) - 2) * 9999 / 262_142, "cpu.shares")
        }
        if cpu.quota != nil || cpu.period != nil {
            let quota = cpu.quota.flatMap { $0 > 0 ? String($0) : nil } ?? "max"
            try write("cpu", "cpu.max", "\(quota) \(cpu.period ?? 100_000)", "cpu.quota")
        }
        if let burst = cpu.burst { try set("cpu", "cpu.max.burst", burst, "cpu.burst") }
        if cpu.realtimeRuntime ?? 0 != 0 || cpu.realtimePeriod ?? 0 != 0 {
            throw BerthError(.failedPrecondition, "linux.resources.cpu.realtimeRuntime needs cgroup v1")
        }
    }

    private func applyUnifiedIO() throws(BerthError) {
        guard let io = resources.blockIO else { return }
        if let weight = io.weight, weight != 0 {
            if has("io", "io.bfq.weight") {
                try set("io", "io.bfq.weight", weight, "blockIO.weight")
            } else {
                // 10…1000 onto 1…10000.
                let scaled = 1 + (UInt64(max(weight, 10)) - 10) * 9999 / 990
                try write("io", "io.weight", "default \(scaled)", "blockIO.weight")
            }
        }
        for (key, devices) in [
            ("rbps", io.throttleReadBpsDevice), ("wbps", io.throttleWriteBpsDevice),
            ("riops", io.throttleReadIOPSDevice), ("wiops", io.throttleWriteIOPSDevice),
        ] {
            for device in devices ?? [] {
                try write("io", "io.max", "\(device.major):\(device.minor) \(key)=\(device.rate)", "blockIO throttling")
            }
        }
    }

    // MARK: files

    private func has(_ controller: String, _ file: String) -> Bool {
        guard let directory = cgroup.directory(of: controller) else { return false }
        return (try? Files.status(directory + "/" + file)) != nil
    }

    private func set(_ controller: String, _ file: String, _ value: some BinaryInteger, _ field: String)
        throws(BerthError)
    {
        try write(controller, file, String(value), field)
    }

    private func write(_ controller: String, _ file: String, _ value: String, _ field: String) throws(BerthError) {
        guard let directory = cgroup.directory(of: controller) else {
            throw BerthError(
                .failedPrecondition, "linux.resources.\(field): the host has no cgroup controller '\(controller)'")
        }
        try attempting("set linux.resources.\(field) to '\(value)' in '\(directory)/\(file)'") { () throws(Errno) in
            try Files.set(directory + "/" + file, to: value)
        }
    }
}
