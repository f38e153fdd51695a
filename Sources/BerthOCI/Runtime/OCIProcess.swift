/// The process of a container, or one to run in it.
package struct OCIProcess: Codable, Hashable, Sendable {
    package var terminal: Bool?
    package var consoleSize: OCIConsoleSize?
    package var user: OCIUser?
    package var args: [String]?
    package var env: [String]?
    package var cwd: String
    package var capabilities: OCICapabilities?
    package var rlimits: [OCIRlimit]?
    package var noNewPrivileges: Bool?
    package var apparmorProfile: String?
    package var selinuxLabel: String?
    package var oomScoreAdj: Int?
    package var scheduler: OCIScheduler?
    package var ioPriority: OCIIOPriority?
    package var execCPUAffinity: OCIExecCPUAffinity?

    package init(args: [String], cwd: String = "/", env: [String]? = nil) {
        self.args = args
        self.cwd = cwd
        self.env = env
    }
}

/// The size of a terminal, in characters.
package struct OCIConsoleSize: Codable, Hashable, Sendable {
    package var height: UInt16
    package var width: UInt16

    package init(height: UInt16, width: UInt16) {
        self.height = height
        self.width = width
    }
}

/// Who the process runs as, in the container's user namespace.
package struct OCIUser: Codable, Hashable, Sendable {
    package var uid: UInt32
    package var gid: UInt32
    package var umask: UInt32?
    package var additionalGids: [UInt32]?
    package var username: String?

    package init(uid: UInt32 = 0, gid: UInt32 = 0, umask: UInt32? = nil, additionalGids: [UInt32]? = nil) {
        self.uid = uid
        self.gid = gid
        self.umask = umask
        self.additionalGids = additionalGids
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        uid = try values.decodeIfPresent(UInt32.self, forKey: .uid) ?? 0
        gid = try values.decodeIfPresent(UInt32.self, forKey: .gid) ?? 0
        umask = try values.decodeIfPresent(UInt32.self, forKey: .umask)
        additionalGids = try values.decodeIfPresent([UInt32].self, forKey: .additionalGids)
        username = try values.decodeIfPresent(String.self, forKey: .username)
    }
}

/// The five capability sets, as names like `CAP_KILL`.
package struct OCICapabilities: Codable, Hashable, Sendable {
    package var bounding: [String]?
    package var effective: [String]?
    package var inheritable: [String]?
    package var permitted: [String]?
    package var ambient: [String]?

    package init(
        bounding: [String]? = nil, effective: [String]? = nil, inheritable: [String]? = nil,
        permitted: [String]? = nil, ambient: [String]? = nil
    ) {
        self.bounding = bounding
        self.effective = effective
        self.inheritable = inheritable
        self.permitted = permitted
        self.ambient = ambient
    }

    /// The usual case: the same names in the bounding, effective and permitted sets, none inheritable or ambient.
    package static func same(_ names: [String]) -> OCICapabilities {
        OCICapabilities(bounding: names, effective: names, permitted: names)
    }
}

/// One resource limit, e.g. `RLIMIT_NOFILE`.
package struct OCIRlimit: Codable, Hashable, Sendable {
    package var type: String
    package var hard: UInt64
    package var soft: UInt64

    package init(type: String, hard: UInt64, soft: UInt64) {
        self.type = type
        self.hard = hard
        self.soft = soft
    }
}

/// How the kernel schedules the process. Source: sched_setattr(2).
package struct OCIScheduler: Codable, Hashable, Sendable {
    package var policy: String
    package var nice: Int32?
    package var priority: Int32?
    package var flags: [String]?
    package var runtime: UInt64?
    package var deadline: UInt64?
    package var period: UInt64?

    package init(policy: String) { self.policy = policy }
}

/// The I/O priority of the process. Source: ioprio_set(2).
package struct OCIIOPriority: Codable, Hashable, Sendable {
    package var `class`: String
    package var priority: Int

    package init(class: String, priority: Int) {
        self.class = `class`
        self.priority = priority
    }
}

/// The CPUs of an `exec`'s process while it is set up and afterwards, as lists like `0-3,7`.
package struct OCIExecCPUAffinity: Codable, Hashable, Sendable {
    package var initial: String?
    package var final: String?

    package init() {}
}
