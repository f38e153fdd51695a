/// Numbers and dates of TOML 1.0.
enum TOMLNumber {
    /// An integer or float, or nil.
    static func parse(_ text: String) -> TOMLNode.Value? {
        if let special = special(text) { return .float(special) }
        guard wellPlacedUnderscores(text) else { return nil }
        let digits = text.filter { $0 != "_" }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where digits.hasPrefix(prefix) {
            return Int64(digits.dropFirst(2), radix: radix).flatMap { $0 >= 0 ? .integer($0) : nil }
        }
        let unsigned = digits.drop { $0 == "+" || $0 == "-" }
        guard digits.count - unsigned.count <= 1, let first = unsigned.first, first.isNumber else { return nil }
        let whole = unsigned.prefix { $0.isNumber }
        guard whole.count == 1 || first != "0" else { return nil }
        if whole.count == unsigned.count { return Int64(digits).map { .integer($0) } }
        return isFloat(unsigned.dropFirst(whole.count)) ? Double(digits).map { .float($0) } : nil
    }

    private static func special(_ text: String) -> Double? {
        switch text {
        case "inf", "+inf": .infinity
        case "-inf": -.infinity
        case "nan", "+nan", "-nan": .nan
        default: nil
        }
    }

    private static func wellPlacedUnderscores(_ text: String) -> Bool {
        let all = Array(text)
        return all.indices.allSatisfy { index in
            all[index] != "_"
                || (index > 0 && index < all.count - 1 && all[index - 1].isHexDigit && all[index + 1].isHexDigit)
        }
    }

    /// What follows the whole digits: `.5`, `e3`, `.5e-3`.
    private static func isFloat(_ rest: Substring) -> Bool {
        var rest = rest
        if rest.first == "." {
            rest.removeFirst()
            let digits = rest.prefix { $0.isNumber }
            if digits.isEmpty { return false }
            rest = rest.dropFirst(digits.count)
        }
        if rest.isEmpty { return true }
        guard rest.first == "e" || rest.first == "E" else { return false }
        rest.removeFirst()
        if rest.first == "+" || rest.first == "-" { rest.removeFirst() }
        return !rest.isEmpty && rest.allSatisfy(\.isNumber)
    }

    /// RFC 3339 dates, times, and dates with times.
    static func isDate(_ text: String) -> Bool {
        let shape = String(text.map { $0.isNumber ? "9" : $0 })
        let times = ["99:99:99"]
        let offsets = ["", "Z", "z", "+99:99", "-99:99"]
        func isTime(_ rest: String, offset: Bool) -> Bool {
            guard times.contains(String(rest.prefix(8))) else { return false }
            var tail = rest.dropFirst(8)
            if tail.first == "." { tail = tail.dropFirst().drop { $0 == "9" } }
            return offset ? offsets.contains(String(tail)) : tail.isEmpty
        }
        if shape == "9999-99-99" || isTime(shape, offset: false) { return true }
        guard shape.hasPrefix("9999-99-99"), shape.count > 11 else { return false }
        let separator = shape[shape.index(shape.startIndex, offsetBy: 10)]
        return "Tt ".contains(separator) && isTime(String(shape.dropFirst(11)), offset: true)
    }
}
