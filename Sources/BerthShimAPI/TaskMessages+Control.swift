package import BerthBase

package struct PidsRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.PidsRequest" }
    package var id = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
    }
}

package struct ProcessInfo: WireMessage {
    package static var messageName: String { "containerd.v1.types.ProcessInfo" }
    package var pid: UInt32 = 0
    package var info: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &pid)
        try wire.field(2, &info)
    }
}

package struct PidsResponse: WireMessage {
    package static var messageName: String { "containerd.task.v3.PidsResponse" }
    package var processes: [ProcessInfo] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &processes)
    }
}

package struct CheckpointTaskRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.CheckpointTaskRequest" }
    package var id = ""
    package var path = ""
    package var options: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &path)
        try wire.field(3, &options)
    }
}

package struct UpdateTaskRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.UpdateTaskRequest" }
    package var id = ""
    /// OCI `LinuxResources`, JSON.
    package var resources: WireAny?
    package var annotations: [String: String] = [:]

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &resources)
        try wire.field(3, &annotations)
    }
}

package struct StartRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.StartRequest" }
    package var id = ""
    package var execID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &execID)
    }
}

package struct StartResponse: WireMessage {
    package static var messageName: String { "containerd.task.v3.StartResponse" }
    package var pid: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &pid)
    }
}

package struct WaitRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.WaitRequest" }
    package var id = ""
    package var execID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &execID)
    }
}

package struct WaitResponse: WireMessage {
    package static var messageName: String { "containerd.task.v3.WaitResponse" }
    package var exitStatus: UInt32 = 0
    package var exitedAt: Timestamp?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &exitStatus)
        try wire.field(2, &exitedAt)
    }
}

package struct StatsRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.StatsRequest" }
    package var id = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
    }
}

package struct StatsResponse: WireMessage {
    package static var messageName: String { "containerd.task.v3.StatsResponse" }
    package var stats: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &stats)
    }
}

package struct ConnectRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.ConnectRequest" }
    package var id = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
    }
}

package struct ConnectResponse: WireMessage {
    package static var messageName: String { "containerd.task.v3.ConnectResponse" }
    package var shimPid: UInt32 = 0
    package var taskPid: UInt32 = 0
    package var version = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &shimPid)
        try wire.field(2, &taskPid)
        try wire.field(3, &version)
    }
}

package struct ShutdownRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.ShutdownRequest" }
    package var id = ""
    package var now = false

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
        try wire.field(2, &now)
    }
}

package struct PauseRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.PauseRequest" }
    package var id = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
    }
}

package struct ResumeRequest: WireMessage {
    package static var messageName: String { "containerd.task.v3.ResumeRequest" }
    package var id = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &id)
    }
}
