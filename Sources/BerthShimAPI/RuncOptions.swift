/// The options of runtimes like runc.
package struct RuncOptions: WireMessage {
    package static var messageName: String { "containerd.runc.v1.Options" }
    package var noPivotRoot = false
    package var noNewKeyring = false
    package var shimCgroup = ""
    package var ioUid: UInt32 = 0
    package var ioGid: UInt32 = 0
    package var binaryName = ""
    package var root = ""
    package var systemdCgroup = false
    package var criuImagePath = ""
    package var criuWorkPath = ""
    package var taskApiAddress = ""
    package var taskApiVersion: UInt32 = 0

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &noPivotRoot)
        try wire.field(2, &noNewKeyring)
        try wire.field(3, &shimCgroup)
        try wire.field(4, &ioUid)
        try wire.field(5, &ioGid)
        try wire.field(6, &binaryName)
        try wire.field(7, &root)
        try wire.field(9, &systemdCgroup)
        try wire.field(10, &criuImagePath)
        try wire.field(11, &criuWorkPath)
        try wire.field(12, &taskApiAddress)
        try wire.field(13, &taskApiVersion)
    }
}

package struct RuncCheckpointOptions: WireMessage {
    package static var messageName: String { "containerd.runc.v1.CheckpointOptions" }
    package var exit = false
    package var openTcp = false
    package var externalUnixSockets = false
    package var terminal = false
    package var fileLocks = false
    package var emptyNamespaces: [String] = []
    package var cgroupsMode = ""
    package var imagePath = ""
    package var workPath = ""
    package var parentPath = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &exit)
        try wire.field(2, &openTcp)
        try wire.field(3, &externalUnixSockets)
        try wire.field(4, &terminal)
        try wire.field(5, &fileLocks)
        try wire.field(6, &emptyNamespaces)
        try wire.field(7, &cgroupsMode)
        try wire.field(8, &imagePath)
        try wire.field(9, &workPath)
        try wire.field(10, &parentPath)
    }
}

/// What the pids of an exec carry.
package struct RuncProcessDetails: WireMessage {
    package static var messageName: String { "containerd.runc.v1.ProcessDetails" }
    package var execID = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &execID)
    }
}
