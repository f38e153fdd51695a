/// The Linux part of a container's configuration. Source: OCI runtime spec, "Linux Container Configuration".
package struct OCILinux: Codable, Hashable, Sendable {
    package var uidMappings: [OCIIDMapping]?
    package var gidMappings: [OCIIDMapping]?
    package var sysctl: [String: String]?
    package var resources: OCIResources?
    package var cgroupsPath: String?
    package var namespaces: [OCINamespace]?
    package var devices: [OCIDevice]?
    package var netDevices: [String: OCINetDevice]?
    package var seccomp: OCISeccomp?
    package var rootfsPropagation: String?
    package var maskedPaths: [String]?
    package var readonlyPaths: [String]?
    package var mountLabel: String?
    package var intelRdt: OCIIntelRdt?
    package var memoryPolicy: OCIMemoryPolicy?
    package var personality: OCIPersonality?
    package var timeOffsets: [String: OCITimeOffset]?

    package init() {}
}

/// A kind of Linux namespace, with the spec's names.
package enum OCINamespaceType: String, Codable, Hashable, Sendable, CaseIterable {
    case pid, network, mount, ipc, uts, user, cgroup, time
}

/// A namespace to make, or, with a path, to join.
package struct OCINamespace: Codable, Hashable, Sendable {
    package var type: OCINamespaceType
    package var path: String?

    package init(_ type: OCINamespaceType, path: String? = nil) {
        self.type = type
        self.path = path
    }
}

/// A device node to make in the container.
package struct OCIDevice: Codable, Hashable, Sendable {
    package var path: String
    /// `c`, `b`, `u` or `p`.
    package var type: String
    package var major: Int64?
    package var minor: Int64?
    package var fileMode: UInt32?
    package var uid: UInt32?
    package var gid: UInt32?

    package init(path: String, type: String, major: Int64? = nil, minor: Int64? = nil, fileMode: UInt32? = nil) {
        self.path = path
        self.type = type
        self.major = major
        self.minor = minor
        self.fileMode = fileMode
    }
}

/// A host network interface to move into the container, by its new name.
package struct OCINetDevice: Codable, Hashable, Sendable {
    package var name: String?

    package init(name: String? = nil) { self.name = name }
}

/// Intel's resource director: cache and memory bandwidth.
package struct OCIIntelRdt: Codable, Hashable, Sendable {
    package var closID: String?
    package var schemata: [String]?
    package var l3CacheSchema: String?
    package var memBwSchema: String?
    package var enableCMT: Bool?
    package var enableMBM: Bool?
    package var enableMonitoring: Bool?

    package init() {}
}

/// The NUMA memory policy. Source: set_mempolicy(2).
package struct OCIMemoryPolicy: Codable, Hashable, Sendable {
    package var mode: String
    package var nodes: String?
    package var flags: [String]?

    package init(mode: String) { self.mode = mode }
}

/// The execution domain. Source: personality(2).
package struct OCIPersonality: Codable, Hashable, Sendable {
    package var domain: String
    package var flags: [String]?

    package init(domain: String) { self.domain = domain }
}

/// The offset of one clock in a time namespace.
package struct OCITimeOffset: Codable, Hashable, Sendable {
    package var secs: Int64?
    package var nanosecs: UInt32?

    package init(secs: Int64? = nil, nanosecs: UInt32? = nil) {
        self.secs = secs
        self.nanosecs = nanosecs
    }
}

/// A seccomp filter as data. Source: OCI runtime spec, "Seccomp".
package struct OCISeccomp: Codable, Hashable, Sendable {
    package var defaultAction: String
    package var defaultErrnoRet: UInt32?
    package var architectures: [String]?
    package var flags: [String]?
    package var listenerPath: String?
    package var listenerMetadata: String?
    package var syscalls: [OCISyscall]?

    package init(defaultAction: String) { self.defaultAction = defaultAction }
}

/// One rule of a seccomp filter; several argument conditions hold together (AND).
package struct OCISyscall: Codable, Hashable, Sendable {
    package var names: [String]
    package var action: String
    package var errnoRet: UInt32?
    package var args: [OCISeccompArgument]?

    package init(_ names: [String], action: String, errnoRet: UInt32? = nil, args: [OCISeccompArgument]? = nil) {
        self.names = names
        self.action = action
        self.errnoRet = errnoRet
        self.args = args
    }
}

/// A condition on one argument of a system call.
package struct OCISeccompArgument: Codable, Hashable, Sendable {
    package var index: UInt32
    package var value: UInt64
    package var valueTwo: UInt64?
    /// `SCMP_CMP_EQ`, `…NE`, `…LT`, `…LE`, `…GT`, `…GE`, `…MASKED_EQ`.
    package var op: String

    package init(index: UInt32, value: UInt64, valueTwo: UInt64? = nil, op: String) {
        self.index = index
        self.value = value
        self.valueTwo = valueTwo
        self.op = op
    }
}
