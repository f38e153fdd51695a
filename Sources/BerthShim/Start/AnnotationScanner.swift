/// Finds annotations in a `config.json` without decoding the rest of it: `start` is on the way of every container and
/// its heap is inherited by the server it forks.
///
/// The document was written by the daemon; what is malformed has no annotations here, and is refused by Create.
struct AnnotationScanner {
    private let bytes: [UInt8]
    private var at = 0

    /// The values of these annotations.
    static func find(_ names: [String], in json: [UInt8]) -> [String: String] {
        var scanner = AnnotationScanner(bytes: json)
        var found: [String: String] = [:]
        _ = scanner.eachMember { name, scanner in
            guard name == "annotations" else { return scanner.skipValue() }
            return scanner.eachMember { name, scanner in
                guard names.contains(name), scanner.peek() == UInt8(ascii: "\"") else { return scanner.skipValue() }
                guard let value = scanner.string() else { return false }
                found[name] = value
                return true
            }
        }
        return found
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// The next byte that is no space.
    private mutating func peek() -> UInt8? {
        while at < bytes.count, bytes[at] <= 0x20 { at += 1 }
        return at < bytes.count ? bytes[at] : nil
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        at += 1
        return true
    }

    /// Calls `body` at each value of an object; it must go past it. False where the document makes no sense.
    private mutating func eachMember(_ body: (String, inout AnnotationScanner) -> Bool) -> Bool {
        guard take(UInt8(ascii: "{")) else { return false }
        if take(UInt8(ascii: "}")) { return true }
        while true {
            guard let name = string(), take(UInt8(ascii: ":")), body(name, &self) else { return false }
            if take(UInt8(ascii: "}")) { return true }
            guard take(UInt8(ascii: ",")) else { return false }
        }
    }

    /// A string without escapes beyond `\"`, `\\` and `\/`: names and IDs have no others.
    private mutating func string() -> String? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        var text: [UInt8] = []
        while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
            if bytes[at] == UInt8(ascii: "\\") { at += 1 }
            guard at < bytes.count else { return nil }
            text.append(bytes[at])
            at += 1
        }
        at += 1
        return String(validating: text, as: UTF8.self)
    }

    /// Goes past a value by its brackets: strings are the only place where those mean nothing.
    private mutating func skipValue() -> Bool {
        var depth = 0
        while let byte = peek() {
            switch byte {
            case UInt8(ascii: "\""):
                guard string() != nil else { return false }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                at += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return true }
                depth -= 1
                at += 1
            case UInt8(ascii: ","):
                if depth == 0 { return true }
                at += 1
            default: at += 1
            }
            if depth == 0, let next = peek(), [UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]")].contains(next) {
                return true
            }
        }
        return false
    }
}
