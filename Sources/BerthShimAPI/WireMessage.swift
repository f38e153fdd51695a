internal import BerthBase

/// A protobuf message of the shim's protocol, coded by hand: the shim has one megabyte for everything.
///
/// A message lists its fields once, in `code`; the coder reads or writes them. Unknown fields are skipped.
package protocol WireMessage: Sendable, Hashable {
    /// The full name, which is also its type URL within an `Any`.
    static var messageName: String { get }
    /// The message with every field at its default.
    init()
    /// Visits every field.
    mutating func code(_ wire: inout WireCoder) throws
}

extension WireMessage {
    /// - Throws: `invalidArgument` that names the message and what is wrong with the bytes.
    package init(decoding bytes: [UInt8]) throws {
        try self.init(decoding: bytes[...])
    }

    /// - Throws: `invalidArgument` that names the message and what is wrong with the bytes.
    package init(decoding bytes: ArraySlice<UInt8>) throws {
        self.init()
        do { try merge(bytes) } catch let fault as WireFault {
            throw BerthError(.invalidArgument, "decode \(Self.messageName): \(fault.reason)")
        }
    }

    /// The message's bytes; fields at their default are left out.
    package func encoded() -> [UInt8] {
        var wire = WireCoder()
        var copy = self
        // Writing never throws: a coder without input only appends.
        try? copy.code(&wire)
        return wire.output
    }

    /// The message as an `Any`, under containerd's bare type URL.
    package var asAny: WireAny { WireAny(typeURL: Self.messageName, value: encoded()) }

    mutating func merge(_ bytes: ArraySlice<UInt8>) throws {
        var wire = WireCoder(reading: bytes)
        while try wire.nextField() {
            try code(&wire)
            try wire.skipUnread()
        }
    }
}

/// Why bytes are no message.
struct WireFault: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}

/// `google.protobuf.Any`, its bytes untouched.
package struct WireAny: WireMessage {
    package static var messageName: String { "google.protobuf.Any" }
    package var typeURL = ""
    package var value: [UInt8] = []

    package init() {}
    package init(typeURL: String, value: [UInt8]) {
        self.typeURL = typeURL
        self.value = value
    }

    package mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &typeURL)
        try wire.field(2, &value)
    }

    /// The type's full name, without a host in front of it.
    package var typeName: Substring { typeURL.split(separator: "/").last ?? "" }

    /// The message within, or nil when it is of another type.
    package func unpack<M: WireMessage>(_ type: M.Type) throws -> M? {
        guard typeURL == M.messageName || typeName == M.messageName else { return nil }
        return try M(decoding: value)
    }
}

/// `google.protobuf.Empty`.
package struct WireEmpty: WireMessage {
    package static var messageName: String { "google.protobuf.Empty" }
    package init() {}
    package mutating func code(_ wire: inout WireCoder) throws {}
}
