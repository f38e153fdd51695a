package import BerthBase

/// The Task service's names. Its messages are the same in both versions but for their package.
package enum TaskService {
    package static let v2 = "containerd.task.v2.Task"
    package static let v3 = "containerd.task.v3.Task"
    /// The service a shim of this version has.
    package static func name(version: Int) -> String { version >= 3 ? v3 : v2 }
}

/// `containerd.v1.types.Status`; numbers of later versions are kept.
package struct TaskStatus: RawRepresentable, Sendable, Hashable {
    package var rawValue: Int32
    package init(rawValue: Int32) { self.rawValue = rawValue }
    package static let unknown = TaskStatus(rawValue: 0)
    package static let created = TaskStatus(rawValue: 1)
    package static let running = TaskStatus(rawValue: 2)
    package static let stopped = TaskStatus(rawValue: 3)
    package static let paused = TaskStatus(rawValue: 4)
    package static let pausing = TaskStatus(rawValue: 5)
}

/// A mount of a rootfs.
package struct MountMessage: WireMessage {
    package static var messageName: String { "containerd.types.Mount" }
    package var type = ""
    package var source = ""
    package var target = ""
    package var options: [String] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &type)
        try wire.field(2, &source)
        try wire.field(3, &target)
        try wire.field(4, &options)
    }
}

package struct CreateTaskRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.CreateTaskRequest" }
    package var id = ""
    package var bundle = ""
    package var rootfs: [MountMessage] = []
    package var terminal = false
    package var stdin = ""
    package var stdout = ""
    package var stderr = ""
    package var checkpoint = ""
    package var parentCheckpoint = ""
    package var options: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &bundle)
        try wire.field(3, &rootfs)
        try wire.field(4, &terminal)
        try wire.field(5, &stdin)
        try wire.field(6, &stdout)
        try wire.field(7, &stderr)
        try wire.field(8, &checkpoint)
        try wire.field(9, &parentCheckpoint)
        try wire.field(10, &options)
    }
}

package struct CreateTaskResponse: WireMessage {
    package static var messageName: String { "containerd.task.v3.CreateTaskResponse" }
    package var pid: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &pid)
    }
}

package struct DeleteRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.DeleteRequest" }
    package var id = ""
    /// Empty: the task itself.
    package var execID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &execID)
    }
}

package struct DeleteResponse: WireMessage {
    package static var messageName: String { "containerd.task.v3.DeleteResponse" }
    package var pid: UInt32 = 0
    package var exitStatus: UInt32 = 0
    package var exitedAt: Timestamp?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &pid)
        try wire.field(2, &exitStatus)
        try wire.field(3, &exitedAt)
    }
}

package struct ExecProcessRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.ExecProcessRequest" }
    package var id = ""
    package var execID = ""
    package var terminal = false
    package var stdin = ""
    package var stdout = ""
    package var stderr = ""
    /// An OCI process, JSON.
    package var spec: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &execID)
        try wire.field(3, &terminal)
        try wire.field(4, &stdin)
        try wire.field(5, &stdout)
        try wire.field(6, &stderr)
        try wire.field(7, &spec)
    }
}

package struct ResizePtyRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.ResizePtyRequest" }
    package var id = ""
    package var execID = ""
    package var width: UInt32 = 0
    package var height: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &execID)
        try wire.field(3, &width)
        try wire.field(4, &height)
    }
}

package struct StateRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.StateRequest" }
    package var id = ""
    package var execID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &execID)
    }
}

package struct StateResponse: WireMessage {
    package static var messageName: String { "containerd.task.v3.StateResponse" }
    package var id = ""
    package var bundle = ""
    package var pid: UInt32 = 0
    package var status: TaskStatus = .unknown
    package var stdin = ""
    package var stdout = ""
    package var stderr = ""
    package var terminal = false
    package var exitStatus: UInt32 = 0
    package var exitedAt: Timestamp?
    package var execID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &bundle)
        try wire.field(3, &pid)
        try wire.field(4, &status.rawValue)
        try wire.field(5, &stdin)
        try wire.field(6, &stdout)
        try wire.field(7, &stderr)
        try wire.field(8, &terminal)
        try wire.field(9, &exitStatus)
        try wire.field(10, &exitedAt)
        try wire.field(11, &execID)
    }
}

package struct KillRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.KillRequest" }
    package var id = ""
    package var execID = ""
    package var signal: UInt32 = 0
    package var all = false

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &execID)
        try wire.field(3, &signal)
        try wire.field(4, &all)
    }
}

package struct CloseIORequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.CloseIORequest" }
    package var id = ""
    package var execID = ""
    package var stdin = false

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &execID)
        try wire.field(3, &stdin)
    }
}
