package import BerthBase

/// Where shims forward their events to, and the topics they use.
package enum EventsService {
    package static let name = "containerd.services.events.ttrpc.v1.Events"
    package static let forward = "Forward"
}

/// The topics of a task's events.
package enum TaskTopic {
    package static let create = "/tasks/create"
    package static let start = "/tasks/start"
    package static let oom = "/tasks/oom"
    package static let exit = "/tasks/exit"
    package static let delete = "/tasks/delete"
    package static let execAdded = "/tasks/exec-added"
    package static let execStarted = "/tasks/exec-started"
    package static let paused = "/tasks/paused"
    package static let resumed = "/tasks/resumed"
    package static let checkpointed = "/tasks/checkpointed"
}

/// An event on its way to the daemon.
package struct EnvelopeMessage: WireMessage {
    package static var messageName: String { "containerd.types.Envelope" }
    package var timestamp: Timestamp?
    package var namespace = ""
    package var topic = ""
    package var event: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &timestamp)
        try wire.field(2, &namespace)
        try wire.field(3, &topic)
        try wire.field(4, &event)
    }
}

package struct ForwardRequest: WireMessage {
    package static var messageName: String { "containerd.services.events.ttrpc.v1.ForwardRequest" }
    package var envelope: EnvelopeMessage?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &envelope)
    }
}

package struct TaskIOMessage: WireMessage {
    package static var messageName: String { "containerd.events.TaskIO" }
    package var stdin = ""
    package var stdout = ""
    package var stderr = ""
    package var terminal = false

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &stdin)
        try wire.field(2, &stdout)
        try wire.field(3, &stderr)
        try wire.field(4, &terminal)
    }
}

package struct TaskCreateEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskCreate" }
    package var containerID = ""
    package var bundle = ""
    package var rootfs: [MountMessage] = []
    package var io: TaskIOMessage?
    package var checkpoint = ""
    package var pid: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
        try wire.field(2, &bundle)
        try wire.field(3, &rootfs)
        try wire.field(4, &io)
        try wire.field(5, &checkpoint)
        try wire.field(6, &pid)
    }
}

package struct TaskStartEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskStart" }
    package var containerID = ""
    package var pid: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
        try wire.field(2, &pid)
    }
}

package struct TaskDeleteEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskDelete" }
    package var containerID = ""
    package var pid: UInt32 = 0
    package var exitStatus: UInt32 = 0
    package var exitedAt: Timestamp?
    /// The exec's ID, or empty for the task itself.
    package var id = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
        try wire.field(2, &pid)
        try wire.field(3, &exitStatus)
        try wire.field(4, &exitedAt)
        try wire.field(5, &id)
    }
}

package struct TaskExitEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskExit" }
    package var containerID = ""
    /// The exec's ID, or the container's for its init process.
    package var id = ""
    package var pid: UInt32 = 0
    package var exitStatus: UInt32 = 0
    package var exitedAt: Timestamp?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
        try wire.field(2, &id)
        try wire.field(3, &pid)
        try wire.field(4, &exitStatus)
        try wire.field(5, &exitedAt)
    }
}

package struct TaskOOMEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskOOM" }
    package var containerID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
    }
}

package struct TaskExecAddedEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskExecAdded" }
    package var containerID = ""
    package var execID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
        try wire.field(2, &execID)
    }
}

package struct TaskExecStartedEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskExecStarted" }
    package var containerID = ""
    package var execID = ""
    package var pid: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
        try wire.field(2, &execID)
        try wire.field(3, &pid)
    }
}

package struct TaskPausedEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskPaused" }
    package var containerID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
    }
}

package struct TaskResumedEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskResumed" }
    package var containerID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
    }
}

package struct TaskCheckpointedEvent: WireMessage {
    package static var messageName: String { "containerd.events.TaskCheckpointed" }
    package var containerID = ""
    package var checkpoint = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &containerID)
        try wire.field(2, &checkpoint)
    }
}
