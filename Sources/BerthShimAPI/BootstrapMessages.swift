/// What a shim of containerd 2.3 and later gets on its standard input for `start`.
package struct BootstrapParams: WireMessage {
    package static var messageName: String { "containerd.runtime.bootstrap.v1.BootstrapParams" }
    package var instanceID = ""
    package var namespace = ""
    /// 0 info, -8 trace, -4 debug, 4 warn, 8 error, 10 fatal, 12 panic.
    package var logLevel: Int32 = 0
    package var containerdVersion = ""
    package var containerdTtrpcAddress = ""
    package var containerdGrpcAddress = ""
    package var containerdBinary = ""
    package var extensions: [BootstrapExtension] = []
    package var socketDir = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &instanceID)
        try wire.field(2, &namespace)
        try wire.field(3, &logLevel)
        try wire.field(4, &containerdVersion)
        try wire.field(5, &containerdTtrpcAddress)
        try wire.field(6, &containerdGrpcAddress)
        try wire.field(7, &containerdBinary)
        try wire.field(8, &extensions)
        try wire.field(9, &socketDir)
    }
}

package struct BootstrapExtension: WireMessage {
    package static var messageName: String { "containerd.runtime.bootstrap.v1.Extension" }
    package var value: WireAny?

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &value)
    }
}

/// What such a shim answers.
package struct BootstrapResult: WireMessage {
    package static var messageName: String { "containerd.runtime.bootstrap.v1.BootstrapResult" }
    package var version: Int32 = 0
    package var address = ""
    package var protocolName = ""
    package var capabilities: [UInt64] = []
    package var metadata: [String: String] = [:]

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &version)
        try wire.field(2, &address)
        try wire.field(3, &protocolName)
        try wire.field(4, &capabilities)
        try wire.field(5, &metadata)
    }
}
