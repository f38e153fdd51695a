package import BerthBase

/// The Sandbox service of shims.
package enum SandboxService {
    package static let name = "containerd.runtime.sandbox.v1.Sandbox"
    /// `SandboxStatusResponse.state` of a sandbox that containers can be created in.
    package static let ready = "SANDBOX_READY"
    /// `SandboxStatusResponse.state` of every other one.
    package static let notReady = "SANDBOX_NOTREADY"
}

package struct CreateSandboxRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.CreateSandboxRequest" }
    package var sandboxID = ""
    /// Its `config.json` is the sandbox's spec.
    package var bundlePath = ""
    package var rootfs: [MountMessage] = []
    package var options: WireAny?
    /// Empty: the host's network.
    package var netnsPath = ""
    package var annotations: [String: String] = [:]

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
        try wire.field(2, &bundlePath)
        try wire.field(3, &rootfs)
        try wire.field(4, &options)
        try wire.field(5, &netnsPath)
        try wire.field(6, &annotations)
    }
}

package struct CreateSandboxResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.CreateSandboxResponse" }

    package init() {}
    package mutating func code(_ wire: inout WireCoder) throws {}
}

package struct StartSandboxRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.StartSandboxRequest" }
    package var sandboxID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
    }
}

package struct StartSandboxResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.StartSandboxResponse" }
    package var pid: UInt32 = 0
    package var createdAt: Timestamp?
    package var spec: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &pid)
        try wire.field(2, &createdAt)
        try wire.field(3, &spec)
    }
}

package struct PlatformRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.PlatformRequest" }
    package var sandboxID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
    }
}

package struct PlatformMessage: WireMessage {
    package static var messageName: String { "containerd.types.Platform" }
    package var os = ""
    package var architecture = ""
    package var variant = ""
    package var osVersion = ""
    package var osFeatures: [String] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &os)
        try wire.field(2, &architecture)
        try wire.field(3, &variant)
        try wire.field(4, &osVersion)
        try wire.field(5, &osFeatures)
    }
}

package struct PlatformResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.PlatformResponse" }
    package var platform: PlatformMessage?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &platform)
    }
}

package struct StopSandboxRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.StopSandboxRequest" }
    package var sandboxID = ""
    package var timeoutSecs: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
        try wire.field(2, &timeoutSecs)
    }
}

package struct StopSandboxResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.StopSandboxResponse" }

    package init() {}
    package mutating func code(_ wire: inout WireCoder) throws {}
}

package struct UpdateSandboxRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.UpdateSandboxRequest" }
    package var sandboxID = ""
    package var resources: WireAny?
    package var annotations: [String: String] = [:]

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
        try wire.field(2, &resources)
        try wire.field(3, &annotations)
    }
}

package struct UpdateSandboxResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.UpdateSandboxResponse" }

    package init() {}
    package mutating func code(_ wire: inout WireCoder) throws {}
}

package struct WaitSandboxRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.WaitSandboxRequest" }
    package var sandboxID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
    }
}

package struct WaitSandboxResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.WaitSandboxResponse" }
    package var exitStatus: UInt32 = 0
    package var exitedAt: Timestamp?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &exitStatus)
        try wire.field(2, &exitedAt)
    }
}

package struct SandboxStatusRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.SandboxStatusRequest" }
    package var sandboxID = ""
    package var verbose = false

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
        try wire.field(2, &verbose)
    }
}

package struct SandboxStatusResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.SandboxStatusResponse" }
    package var sandboxID = ""
    package var pid: UInt32 = 0
    package var state = ""
    package var info: [String: String] = [:]
    package var createdAt: Timestamp?
    package var exitedAt: Timestamp?
    package var extra: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
        try wire.field(2, &pid)
        try wire.field(3, &state)
        try wire.field(4, &info)
        try wire.field(5, &createdAt)
        try wire.field(6, &exitedAt)
        try wire.field(7, &extra)
    }
}

package struct PingRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.PingRequest" }
    package var sandboxID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
    }
}

package struct PingResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.PingResponse" }

    package init() {}
    package mutating func code(_ wire: inout WireCoder) throws {}
}

package struct ShutdownSandboxRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.ShutdownSandboxRequest" }
    package var sandboxID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
    }
}

package struct ShutdownSandboxResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.ShutdownSandboxResponse" }

    package init() {}
    package mutating func code(_ wire: inout WireCoder) throws {}
}

package struct SandboxMetricsRequest: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.SandboxMetricsRequest" }
    package var sandboxID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &sandboxID)
    }
}

package struct MetricMessage: WireMessage {
    package static var messageName: String { "containerd.types.Metric" }
    package var timestamp: Timestamp?
    package var id = ""
    package var data: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &timestamp)
        try wire.field(2, &id)
        try wire.field(3, &data)
    }
}

package struct SandboxMetricsResponse: WireMessage {
    package static var messageName: String { "containerd.runtime.sandbox.v1.SandboxMetricsResponse" }
    package var metrics: MetricMessage?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &metrics)
    }
}
