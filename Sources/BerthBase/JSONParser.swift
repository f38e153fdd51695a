/// A recursive descent over the bytes of one document.
struct JSONParser {
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
        while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { at += 1 }
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
        var start = at
        while let byte = next {
            at += 1
            switch byte {
            case UInt8(ascii: "\""):
                // Nearly every string has no escape: its bytes are taken where they are.
                let rest = bytes[start..<at - 1]
                let whole =
                    text.isEmpty
                    ? String(validating: rest, as: UTF8.self) : String(validating: text + rest, as: UTF8.self)
                guard let whole else { throw wrong("not UTF-8") }
                return whole
            case UInt8(ascii: "\\"):
                text += bytes[start..<at - 1]
                try escape(into: &text)
                start = at
            case 0..<0x20: throw wrong("a control character in a string")
            default: continue
            }
        }
        throw wrong("a string has no end")
    }

    private mutating func escape(into text: inout [UInt8]) throws {
        guard let byte = next else { throw wrong("the end in an escape") }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"): text += String(Character(try scalar())).utf8
        default: throw wrong("an unknown escape")
        }
    }

    private mutating func scalar() throws -> Unicode.Scalar {
        var unit = try hex4()
        if (0xd800..<0xdc00).contains(unit), take("\\u") {
            let low = try hex4()
            guard (0xdc00..<0xe000).contains(low) else { throw wrong("half a surrogate pair") }
            unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(unit) else { throw wrong("half a surrogate pair") }
        return scalar
    }

    private mutating func hex4() throws -> UInt32 {
        guard at + 4 <= bytes.count, let text = String(validating: bytes[at..<at + 4], as: UTF8.self),
            text.allSatisfy(\.isHexDigit), let value = UInt32(text, radix: 16)
        else { throw wrong("four hex digits are missing") }
        at += 4
        return value
    }
}
