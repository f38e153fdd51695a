/// A call. Source: ttrpc's `request.proto`.
package struct TTRPCRequest: WireMessage {
    package static var messageName: String { "ttrpc.Request" }
    package var service = ""
    package var method = ""
    package var payload: [UInt8] = []
    /// 0: none.
    package var timeoutNano: Int64 = 0
    package var metadata: [TTRPCKeyValue] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &service)
        try wire.field(2, &method)
        try wire.field(3, &payload)
        try wire.field(4, &timeoutNano)
        try wire.field(5, &metadata)
    }
}

package struct TTRPCKeyValue: WireMessage {
    package static var messageName: String { "ttrpc.KeyValue" }
    package var key = ""
    package var value = ""

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &key)
        try wire.field(2, &value)
    }
}

/// The answer, or the end of a stream.
package struct TTRPCResponse: WireMessage {
    package static var messageName: String { "ttrpc.Response" }
    /// nil: success.
    package var status: RPCStatus?
    package var payload: [UInt8] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &status)
        try wire.field(2, &payload)
    }
}

package struct RPCStatus: WireMessage {
    package static var messageName: String { "google.rpc.Status" }
    package var code: Int32 = 0
    package var message = ""
    package var details: [WireAny] = []

    package init() {}

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &code)
        try wire.field(2, &message)
        try wire.field(3, &details)
    }
}
