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

    /// The document, keys in order: in one line, or a field a line for people.
    public func encoded(pretty: Bool = false) -> [UInt8] {
        var out: [UInt8] = []
        write(to: &out, indent: pretty ? 0 : nil)
        return out
    }

    private func write(to out: inout [UInt8], indent: Int?) {
        switch self {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .number(let digits): out += digits.utf8
        case .string(let text): Self.quote(text, to: &out)
        case .array(let items):
            Self.list(items, "[", "]", to: &out, indent: indent) { item, out, indent in
                item.write(to: &out, indent: indent)
            }
        case .object(let fields):
            Self.list(fields.sorted { $0.key < $1.key }, "{", "}", to: &out, indent: indent) { field, out, indent in
                Self.quote(field.key, to: &out)
                out += (indent == nil ? ":" : ": ").utf8
                field.value.write(to: &out, indent: indent)
            }
        }
    }

    private static func list<Item>(
        _ items: [Item], _ open: String, _ close: String, to out: inout [UInt8], indent: Int?,
        _ write: (Item, inout [UInt8], Int?) -> Void
    ) {
        out += open.utf8
        let inner = indent.map { $0 + 2 }
        for (index, item) in items.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            newLine(inner, to: &out)
            write(item, &out, inner)
        }
        if !items.isEmpty { newLine(indent, to: &out) }
        out += close.utf8
    }

    private static func newLine(_ indent: Int?, to out: inout [UInt8]) {
        guard let indent else { return }
        out.append(UInt8(ascii: "\n"))
        out += repeatElement(UInt8(ascii: " "), count: indent)
    }

    private static func quote(_ text: String, to out: inout [UInt8]) {
        let hex = StaticString("0123456789abcdef")
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                out.append(UInt8(ascii: "\\"))
                out.append(byte)
            case UInt8(ascii: "\n"): out += "\\n".utf8
            case UInt8(ascii: "\t"): out += "\\t".utf8
            case 0..<0x20:
                out += "\\u00".utf8
                hex.withUTF8Buffer { out += [$0[Int(byte >> 4)], $0[Int(byte & 15)]] }
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}
