/// The limits of a container's cgroup. Source: OCI runtime spec, "Control groups".
package struct OCIResources: Codable, Hashable, Sendable {
    package var devices: [OCIDeviceRule]?
    package var memory: OCIMemory?
    package var cpu: OCICPU?
    package var pids: OCIPids?
    package var blockIO: OCIBlockIO?
    package var hugepageLimits: [OCIHugepageLimit]?
    package var network: OCINetworkResources?
    package var rdma: [String: OCIRdma]?
    package var unified: [String: String]?

    package init() {}
}

/// One rule of the device allow list; absent numbers match all.
package struct OCIDeviceRule: Codable, Hashable, Sendable {
    package var allow: Bool
    /// `a`, `c` or `b`.
    package var type: String?
    package var major: Int64?
    package var minor: Int64?
    /// Letters of `rwm`.
    package var access: String?

    package init(
        allow: Bool, type: String? = nil, major: Int64? = nil, minor: Int64? = nil, access: String? = nil
    ) {
        self.allow = allow
        self.type = type
        self.major = major
        self.minor = minor
        self.access = access
    }
}

/// Memory limits in bytes; -1 is "no limit".
package struct OCIMemory: Codable, Hashable, Sendable {
    package var limit: Int64?
    package var reservation: Int64?
    /// Memory plus swap.
    package var swap: Int64?
    package var kernel: Int64?
    package var kernelTCP: Int64?
    package var swappiness: UInt64?
    package var disableOOMKiller: Bool?
    package var useHierarchy: Bool?
    package var checkBeforeUpdate: Bool?

    package init() {}
}

/// CPU shares, quota and placement.
package struct OCICPU: Codable, Hashable, Sendable {
    package var shares: UInt64?
    /// Microseconds a period; -1 is "no limit".
    package var quota: Int64?
    package var burst: UInt64?
    package var period: UInt64?
    package var realtimeRuntime: Int64?
    package var realtimePeriod: UInt64?
    package var cpus: String?
    package var mems: String?
    package var idle: Int64?

    package init() {}
}

/// The limit on processes; 0 or -1 is "no limit".
package struct OCIPids: Codable, Hashable, Sendable {
    package var limit: Int64?

    package init(limit: Int64?) { self.limit = limit }
}

/// Block I/O weights and limits.
package struct OCIBlockIO: Codable, Hashable, Sendable {
    package var weight: UInt16?
    package var leafWeight: UInt16?
    package var weightDevice: [OCIWeightDevice]?
    package var throttleReadBpsDevice: [OCIThrottleDevice]?
    package var throttleWriteBpsDevice: [OCIThrottleDevice]?
    package var throttleReadIOPSDevice: [OCIThrottleDevice]?
    package var throttleWriteIOPSDevice: [OCIThrottleDevice]?

    package init() {}
}

/// The weight of one block device.
package struct OCIWeightDevice: Codable, Hashable, Sendable {
    package var major: Int64
    package var minor: Int64
    package var weight: UInt16?
    package var leafWeight: UInt16?
}

/// The rate of one block device, in bytes or operations a second.
package struct OCIThrottleDevice: Codable, Hashable, Sendable {
    package var major: Int64
    package var minor: Int64
    package var rate: UInt64
}

/// The limit on huge pages of one size, e.g. `2MB`.
package struct OCIHugepageLimit: Codable, Hashable, Sendable {
    package var pageSize: String
    package var limit: UInt64

    package init(pageSize: String, limit: UInt64) {
        self.pageSize = pageSize
        self.limit = limit
    }
}

/// The class and priorities of network traffic (cgroup v1 only).
package struct OCINetworkResources: Codable, Hashable, Sendable {
    package var classID: UInt32?
    package var priorities: [OCIInterfacePriority]?
}

/// The priority of one network interface.
package struct OCIInterfacePriority: Codable, Hashable, Sendable {
    package var name: String
    package var priority: UInt32
}

/// Limits on one RDMA device.
package struct OCIRdma: Codable, Hashable, Sendable {
    package var hcaHandles: UInt32?
    package var hcaObjects: UInt32?
}
