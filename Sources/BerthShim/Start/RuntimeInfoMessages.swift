internal import BerthShimAPI

/// `containerd.types.RuntimeInfo`, the part that is answered.
struct RuntimeInfoMessage: WireMessage {
    static var messageName: String { "containerd.types.RuntimeInfo" }
    var name = ""
    var version: RuntimeVersionMessage?

    mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &name)
        try wire.field(2, &version)
    }
}

/// `containerd.types.RuntimeVersion`.
struct RuntimeVersionMessage: WireMessage {
    static var messageName: String { "containerd.types.RuntimeVersion" }
    var version = ""
    var revision = ""

    mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &version)
        try wire.field(2, &revision)
    }
}
