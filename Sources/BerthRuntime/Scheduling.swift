internal import BerthBase
internal import BerthOCI

/// Scheduler, I/O priority, personality, CPU and memory placement, as the kernel's numbers.
enum Scheduling {
    static func domain(_ personality: OCIPersonality) throws(BerthError) -> UInt64 {
        guard (personality.flags ?? []).isEmpty else {
            throw BerthError(.unimplemented, "linux.personality.flags \(personality.flags ?? []) are not supported")
        }
        switch personality.domain {
        case "LINUX": return 0
        case "LINUX32": return 8
        default: throw BerthError(.invalidArgument, "linux.personality.domain '\(personality.domain)' is unknown")
        }
    }

    static func priority(_ priority: OCIIOPriority) throws(BerthError) -> UInt64 {
        let classes: [String: UInt64] = ["IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3]
        guard let number = classes[priority.class], (0...7).contains(priority.priority) else {
            throw BerthError(.invalidArgument, "process.ioPriority '\(priority.class)' \(priority.priority) is unknown")
        }
        return number << 13 | UInt64(priority.priority)
    }

    /// The bytes of `struct sched_attr`.
    static func attributes(_ scheduler: OCIScheduler) throws(BerthError) -> [UInt8] {
        let policies: [String: UInt32] = [
            "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
            "SCHED_DEADLINE": 6,
        ]
        let flagBits: [String: UInt64] = [
            "SCHED_FLAG_RESET_ON_FORK": 1, "SCHED_FLAG_RECLAIM": 2, "SCHED_FLAG_DL_OVERRUN": 4,
            "SCHED_FLAG_KEEP_POLICY": 8, "SCHED_FLAG_KEEP_PARAMS": 16, "SCHED_FLAG_UTIL_CLAMP_MIN": 32,
            "SCHED_FLAG_UTIL_CLAMP_MAX": 64,
        ]
        guard let policy = policies[scheduler.policy] else {
            throw BerthError(.invalidArgument, "process.scheduler.policy '\(scheduler.policy)' is unknown")
        }
        var flags: UInt64 = 0
        for name in scheduler.flags ?? [] {
            guard let bit = flagBits[name] else {
                throw BerthError(.invalidArgument, "process.scheduler.flags: '\(name)' is unknown")
            }
            flags |= bit
        }
        var bytes: [UInt8] = []
        bytes.append(littleEndian: UInt32(48))
        bytes.append(littleEndian: policy)
        bytes.append(littleEndian: flags)
        bytes.append(littleEndian: scheduler.nice ?? 0)
        bytes.append(littleEndian: scheduler.priority ?? 0)
        for value in [scheduler.runtime, scheduler.deadline, scheduler.period] {
            bytes.append(littleEndian: value ?? 0)
        }
        return bytes
    }

    static func policy(_ policy: OCIMemoryPolicy) throws(BerthError) -> (mode: UInt64, nodes: [UInt8]) {
        let modes: [String: UInt64] = [
            "MPOL_DEFAULT": 0, "MPOL_PREFERRED": 1, "MPOL_BIND": 2, "MPOL_INTERLEAVE": 3, "MPOL_LOCAL": 4,
            "MPOL_PREFERRED_MANY": 5, "MPOL_WEIGHTED_INTERLEAVE": 6,
        ]
        let flagBits: [String: UInt64] = [
            "MPOL_F_NUMA_BALANCING": 1 << 13, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_STATIC_NODES": 1 << 15,
        ]
        guard var mode = modes[policy.mode] else {
            throw BerthError(.invalidArgument, "linux.memoryPolicy.mode '\(policy.mode)' is unknown")
        }
        for name in policy.flags ?? [] {
            guard let bit = flagBits[name] else {
                throw BerthError(.invalidArgument, "linux.memoryPolicy.flags: '\(name)' is unknown")
            }
            mode |= bit
        }
        guard let nodes = policy.nodes, !nodes.isEmpty else { return (mode, []) }
        return (mode, try mask(nodes, "linux.memoryPolicy.nodes"))
    }

    /// The largest CPU or node number taken.
    private static let maxNumber = 8191

    /// A list like `0-3,7` as bits, in whole 64-bit words.
    static func mask(_ list: String, _ what: String) throws(BerthError) -> [UInt8] {
        var bytes: [UInt8] = []
        for part in list.split(separator: ",") {
            let ends = part.split(separator: "-", maxSplits: 1).map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, 0...maxNumber ~= first,
                first...maxNumber ~= last
            else { throw BerthError(.invalidArgument, "\(what): '\(list)' is not a list of numbers and ranges") }
            for number in first...last {
                while bytes.count <= number / 8 { bytes.append(contentsOf: [UInt8](repeating: 0, count: 8)) }
                bytes[number / 8] |= 1 << UInt8(number % 8)
            }
        }
        return bytes
    }
}
