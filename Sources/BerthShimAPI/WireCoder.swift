package import BerthBase

/// Reads or writes the fields of one message. Source: the protobuf encoding specification.
///
/// Reading: the field on the wire is offered to each `field` call of the message, and the one with its number takes
/// it. Lengths are checked against what is there before anything is copied.
package struct WireCoder {
    /// The deepest nesting of unknown groups that is skipped.
    static let maxGroupDepth = 16

    /// What was written so far.
    var output: [UInt8] = []
    let input: ArraySlice<UInt8>
    private let reads: Bool
    private var at: Int
    private var number = 0
    private var type = WireType.varint
    private var isTaken = true

    enum WireType: UInt8 {
        case varint = 0
        case fixed64 = 1
        case delimited = 2
        case groupStart = 3
        case groupEnd = 4
        case fixed32 = 5
    }

    /// A coder that writes.
    init() {
        input = []
        at = 0
        reads = false
    }

    /// A coder that reads.
    init(reading bytes: ArraySlice<UInt8>) {
        input = bytes
        at = bytes.startIndex
        reads = true
    }

    // MARK: the stream of fields

    /// Moves to the next field; false at the end.
    mutating func nextField() throws -> Bool {
        guard at < input.endIndex else { return false }
        (number, type) = try tag()
        isTaken = false
        return true
    }

    /// Skips the current field if no one took it.
    mutating func skipUnread() throws {
        guard !isTaken else { return }
        try skip(type, number, depth: 0)
        isTaken = true
    }

    private mutating func tag() throws -> (Int, WireType) {
        let key = try varint()
        guard let type = WireType(rawValue: UInt8(key & 7)) else { throw WireFault("wire type \(key & 7)") }
        let number = key >> 3
        guard number > 0, number <= 536_870_911 else { throw WireFault("field number \(number)") }
        return (Int(number), type)
    }

    private mutating func skip(_ type: WireType, _ number: Int, depth: Int) throws {
        switch type {
        case .varint: _ = try varint()
        case .fixed64: _ = try take(8)
        case .fixed32: _ = try take(4)
        case .delimited: _ = try delimited()
        case .groupStart:
            guard depth < Self.maxGroupDepth else { throw WireFault("groups nested deeper than \(Self.maxGroupDepth)") }
            while true {
                let (inner, innerType) = try tag()
                if innerType == .groupEnd {
                    guard inner == number else { throw WireFault("group \(number) ends as \(inner)") }
                    return
                }
                try skip(innerType, inner, depth: depth + 1)
            }
        case .groupEnd: throw WireFault("the end of a group that never began")
        }
    }

    // MARK: primitives

    private mutating func varint() throws -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            guard at < input.endIndex else { throw WireFault("a truncated number") }
            let byte = input[at]
            at += 1
            // The tenth byte has room for one bit of the sixty-four.
            guard shift < 63 || byte <= 1 else { throw WireFault("a number longer than 64 bits") }
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
    }

    private mutating func take(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count <= input.endIndex - at else {
            throw WireFault("field \(number) claims \(count) bytes of \(input.endIndex - at)")
        }
        defer { at += count }
        return input[at..<at + count]
    }

    private mutating func delimited() throws -> ArraySlice<UInt8> {
        let count = try varint()
        guard count <= UInt64(input.endIndex - at) else {
            throw WireFault("field \(number) claims \(count) bytes of \(input.endIndex - at)")
        }
        return try take(Int(count))
    }

    private mutating func append(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            output.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        output.append(UInt8(rest))
    }

    private mutating func append(_ number: Int, _ type: WireType) {
        append(UInt64(number) << 3 | UInt64(type.rawValue))
    }

    /// Whether the field on the wire is this one, with this type; it is taken then.
    private mutating func takes(_ number: Int, _ type: WireType) throws -> Bool {
        guard !isTaken, self.number == number else { return false }
        guard self.type == type else {
            throw WireFault("field \(number) has wire type \(self.type.rawValue), not \(type.rawValue)")
        }
        isTaken = true
        return true
    }

    private mutating func write(_ number: Int, _ bytes: [UInt8]) {
        append(number, .delimited)
        append(UInt64(bytes.count))
        output += bytes
    }

    // MARK: fields

    /// A `uint64`.
    package mutating func field(_ number: Int, _ value: inout UInt64) throws {
        if reads {
            if try takes(number, .varint) { value = try varint() }
        } else if value != 0 {
            append(number, .varint)
            append(value)
        }
    }

    /// A `uint32`; more significant bits are dropped, as protobuf has it.
    package mutating func field(_ number: Int, _ value: inout UInt32) throws {
        var wide = UInt64(value)
        try field(number, &wide)
        value = UInt32(truncatingIfNeeded: wide)
    }

    /// An `int64`.
    package mutating func field(_ number: Int, _ value: inout Int64) throws {
        var wide = UInt64(bitPattern: value)
        try field(number, &wide)
        value = Int64(bitPattern: wide)
    }

    /// An `int32`, or an enumeration.
    package mutating func field(_ number: Int, _ value: inout Int32) throws {
        var wide = Int64(value)
        try field(number, &wide)
        value = Int32(truncatingIfNeeded: wide)
    }

    /// A `bool`.
    package mutating func field(_ number: Int, _ value: inout Bool) throws {
        var wide: UInt64 = value ? 1 : 0
        try field(number, &wide)
        value = wide != 0
    }

    /// A `double`.
    package mutating func field(_ number: Int, _ value: inout Double) throws {
        if reads {
            guard try takes(number, .fixed64) else { return }
            var bits: UInt64 = 0
            for byte in try take(8).reversed() { bits = bits << 8 | UInt64(byte) }
            value = Double(bitPattern: bits)
        } else if value != 0 {
            append(number, .fixed64)
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                output.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift))
            }
        }
    }

    /// A `string`; bytes that are not UTF-8 are refused.
    package mutating func field(_ number: Int, _ value: inout String) throws {
        if reads {
            if try takes(number, .delimited) { value = try text() }
        } else if !value.isEmpty {
            write(number, Array(value.utf8))
        }
    }

    private mutating func text() throws -> String {
        guard let text = String(validating: try delimited(), as: UTF8.self) else {
            throw WireFault("field \(number) is not UTF-8")
        }
        return text
    }

    /// `bytes`.
    package mutating func field(_ number: Int, _ value: inout [UInt8]) throws {
        if reads {
            if try takes(number, .delimited) { value = Array(try delimited()) }
        } else if !value.isEmpty {
            write(number, value)
        }
    }

    /// `repeated string`.
    package mutating func field(_ number: Int, _ value: inout [String]) throws {
        if reads {
            if try takes(number, .delimited) { value.append(try text()) }
        } else {
            for item in value { write(number, Array(item.utf8)) }
        }
    }

    /// `repeated uint64`, packed or not.
    package mutating func field(_ number: Int, _ value: inout [UInt64]) throws {
        guard reads else {
            guard !value.isEmpty else { return }
            var packed = WireCoder()
            for item in value { packed.append(item) }
            write(number, packed.output)
            return
        }
        guard !isTaken, self.number == number else { return }
        if type == .varint {
            isTaken = true
            value.append(try varint())
        } else if try takes(number, .delimited) {
            var packed = WireCoder(reading: try delimited())
            while packed.at < packed.input.endIndex { value.append(try packed.varint()) }
        }
    }

    /// `map<string, string>`, written in the order of its keys.
    package mutating func field(_ number: Int, _ value: inout [String: String]) throws {
        if reads {
            guard try takes(number, .delimited) else { return }
            var entry = WireEntry()
            try entry.merge(try delimited())
            value[entry.key] = entry.value
        } else {
            for (key, item) in value.sorted(by: { $0.key < $1.key }) {
                write(number, WireEntry(key: key, value: item).encoded())
            }
        }
    }

    /// A message.
    package mutating func field<M: WireMessage>(_ number: Int, _ value: inout M?) throws {
        if reads {
            guard try takes(number, .delimited) else { return }
            var message = value ?? M()
            try message.merge(try delimited())
            value = message
        } else if let value {
            write(number, value.encoded())
        }
    }

    /// `repeated` messages.
    package mutating func field<M: WireMessage>(_ number: Int, _ value: inout [M]) throws {
        if reads {
            guard try takes(number, .delimited) else { return }
            var message = M()
            try message.merge(try delimited())
            value.append(message)
        } else {
            for item in value { write(number, item.encoded()) }
        }
    }

    /// A `google.protobuf.Timestamp`. One beyond the years that nanoseconds can count reads as nil: shims in Go
    /// send the year 1 for "not yet".
    package mutating func field(_ number: Int, _ value: inout Timestamp?) throws {
        var time = value.map { WireTime(seconds: $0.seconds, nanoseconds: $0.subsecond) }
        try field(number, &time)
        value = time?.timestamp
    }
}

/// An entry of a map.
struct WireEntry: WireMessage {
    static var messageName: String { "a map's entry" }
    var key = ""
    var value = ""

    mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &key)
        try wire.field(2, &value)
    }
}

/// `google.protobuf.Timestamp`.
struct WireTime: WireMessage {
    static var messageName: String { "google.protobuf.Timestamp" }
    var seconds: Int64 = 0
    var nanoseconds: Int32 = 0

    mutating func code(_ wire: inout WireCoder) throws {
        try wire.field(1, &seconds)
        try wire.field(2, &nanoseconds)
    }

    var timestamp: Timestamp? {
        let (whole, tooBig) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, stillTooBig) = whole.addingReportingOverflow(Int64(nanoseconds))
        return tooBig || stillTooBig ? nil : Timestamp(nanoseconds: sum)
    }
}
