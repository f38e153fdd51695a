/// Any JSON document, for formats whose fields belong to others (CNI, image configs): nothing is lost in a round
/// trip. Numbers keep their text.
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    /// The digits as they were written.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The text of a string, else nil.
    public var string: String? {
        if case .string(let text) = self { return text }
        return nil
    }
    /// The value of a boolean, else nil.
    public var bool: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }
    /// The value of an integer, else nil.
    public var integer: Int64? {
        if case .number(let digits) = self { return Int64(digits) }
        return nil
    }
    /// The items of an array, else nil.
    public var array: [JSONValue]? {
        if case .array(let items) = self { return items }
        return nil
    }
    /// The fields of an object, else nil.
    public var object: [String: JSONValue]? {
        if case .object(let fields) = self { return fields }
        return nil
    }
    /// A field of an object; nil for a missing one or another kind of value.
    public subscript(name: String) -> JSONValue? { object?[name] }

    /// The deepest nesting that is parsed: a hostile document must not exhaust the stack.
    public static let maxDepth = 128

    /// - Throws: `invalidArgument` with the byte offset of the first thing that is not JSON (RFC 8259).
    public init(parsing bytes: [UInt8]) throws {
        var parser = JSONParser(bytes: bytes)
        self = try parser.document()
    }

    /// The document in one line, keys in order.
    public func encoded() -> [UInt8] {
        var out: [UInt8] = []
        write(to: &out)
        return out
    }

    private func write(to out: inout [UInt8]) {
        switch self {
        case .null: out += Array("null".utf8)
        case .bool(let value): out += Array((value ? "true" : "false").utf8)
        case .number(let digits): out += Array(digits.utf8)
        case .string(let text): Self.quote(text, to: &out)
        case .array(let items):
            out.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                item.write(to: &out)
            }
            out.append(UInt8(ascii: "]"))
        case .object(let fields):
            out.append(UInt8(ascii: "{"))
            for (index, field) in fields.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                Self.quote(field.key, to: &out)
                out.append(UInt8(ascii: ":"))
                field.value.write(to: &out)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    private static func quote(_ text: String, to out: inout [UInt8]) {
        let hex = Array("0123456789abcdef".utf8)
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                out += Array("\\u00".utf8) + [hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}

/// A recursive descent over the bytes of one document.
private struct JSONParser {
    let bytes: [UInt8]
    var at = 0
    var depth = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    func wrong(_ what: String) -> BerthError {
        BerthError(.invalidArgument, "no valid JSON at byte \(at): \(what)")
    }

    mutating func document() throws -> JSONValue {
        let value = try value()
        space()
        guard at == bytes.count else { throw wrong("more than one value") }
        return value
    }

    private mutating func space() {
        while at < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[at]) { at += 1 }
    }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func take(_ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard at + length <= bytes.count else { return false }
        let matches = word.withUTF8Buffer { $0.elementsEqual(bytes[at..<at + length]) }
        if matches { at += length }
        return matches
    }

    private mutating func value() throws -> JSONValue {
        space()
        guard let first = next else { throw wrong("the end") }
        switch first {
        case UInt8(ascii: "{"): return try nested { try $0.object() }
        case UInt8(ascii: "["): return try nested { try $0.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), 0x30...0x39: return .number(try number())
        default:
            if take("true") { return .bool(true) }
            if take("false") { return .bool(false) }
            if take("null") { return .null }
            throw wrong("no value begins here")
        }
    }

    private mutating func nested(_ body: (inout Self) throws -> JSONValue) throws -> JSONValue {
        depth += 1
        guard depth <= JSONValue.maxDepth else { throw wrong("nested deeper than \(JSONValue.maxDepth)") }
        defer { depth -= 1 }
        at += 1
        return try body(&self)
    }

    private mutating func array() throws -> JSONValue {
        var items: [JSONValue] = []
        space()
        if take("]") { return .array(items) }
        while true {
            items.append(try value())
            space()
            if take("]") { return .array(items) }
            guard take(",") else { throw wrong("',' or ']' is missing") }
        }
    }

    private mutating func object() throws -> JSONValue {
        var fields: [String: JSONValue] = [:]
        space()
        if take("}") { return .object(fields) }
        while true {
            space()
            guard next == UInt8(ascii: "\"") else { throw wrong("a key must be a string") }
            let key = try string()
            space()
            guard take(":") else { throw wrong("':' is missing") }
            // A key that comes twice means two things to two readers: refused.
            guard fields.updateValue(try value(), forKey: key) == nil else { throw wrong("key '\(key)' comes twice") }
            space()
            if take("}") { return .object(fields) }
            guard take(",") else { throw wrong("',' or '}' is missing") }
        }
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = next, (0x30...0x39).contains(byte) { at += 1 }
        return at - start
    }

    private mutating func number() throws -> String {
        let start = at
        _ = take("-")
        let leadingZero = next == 0x30
        let count = digits()
        guard count > 0, !(leadingZero && count > 1) else { throw wrong("a malformed number") }
        if take(".") { guard digits() > 0 else { throw wrong("digits are missing after '.'") } }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            guard digits() > 0 else { throw wrong("digits are missing in the exponent") }
        }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private mutating func string() throws -> String {
        at += 1
        var text: [UInt8] = []
        while let byte = next {
            at += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else { throw wrong("not UTF-8") }
                return string
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw wrong("a control character in a string")
            default: text.append(byte)
            }
        }
        throw wrong("a string has no end")
    }

    private mutating func escape(into text: inout [UInt8]) throws {
        guard let byte = next else { throw wrong("the end in an escape") }
        at += 1
        let simple: [UInt8: UInt8] = [
            0x22: 0x22, 0x5c: 0x5c, 0x2f: 0x2f, 0x62: 0x08, 0x66: 0x0c, 0x6e: 0x0a, 0x72: 0x0d, 0x74: 0x09,
        ]
        if let plain = simple[byte] {
            text.append(plain)
            return
        }
        guard byte == UInt8(ascii: "u") else { throw wrong("an unknown escape") }
        var unit = try hex4()
        if (0xd800..<0xdc00).contains(unit), take("\\u") {
            let low = try hex4()
            guard (0xdc00..<0xe000).contains(low) else { throw wrong("half a surrogate pair") }
            unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(unit) else { throw wrong("half a surrogate pair") }
        text += Array(String(Character(scalar)).utf8)
    }

    private mutating func hex4() throws -> UInt32 {
        guard at + 4 <= bytes.count, let text = String(validating: bytes[at..<at + 4], as: UTF8.self),
            text.allSatisfy(\.isHexDigit), let value = UInt32(text, radix: 16)
        else { throw wrong("four hex digits are missing") }
        at += 4
        return value
    }
}
