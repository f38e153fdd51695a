/// Numbers of TOML 1.0. Digits are ASCII: Swift's `isNumber` knows many more.
enum TOMLNumber {
    /// An integer or float, or nil.
    static func parse(_ text: String) -> TOMLNode.Value? {
        if let special = special(text) { return .float(special) }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where text.hasPrefix(prefix) {
            return based(text.dropFirst(2), radix: radix)
        }
        let sign = text.first == "+" || text.first == "-" ? text.prefix(1) : ""
        var rest = text.dropFirst(sign.count)
        guard let whole = takeDigits(&rest), whole.count == 1 || whole.first != "0" else { return nil }
        if rest.isEmpty { return Int64(sign + whole).map { .integer($0) } }
        guard let tail = fraction(rest) else { return nil }
        return Double(sign + whole + tail).map { .float($0) }
    }

    /// Whether a text is a decimal integer beyond 64 bits.
    static func isTooLarge(_ text: String) -> Bool {
        var rest = text.first == "+" || text.first == "-" ? text.dropFirst() : text[...]
        guard let digits = takeDigits(&rest), rest.isEmpty, digits.first != "0" else { return false }
        return Int64(digits) == nil
    }

    private static func special(_ text: String) -> Double? {
        switch text {
        case "inf", "+inf": .infinity
        case "-inf": -.infinity
        case "nan", "+nan", "-nan": .nan
        default: nil
        }
    }

    /// The integer behind `0x`, `0o` or `0b`.
    private static func based(_ text: Substring, radix: Int) -> TOMLNode.Value? {
        guard let digits = strippingUnderscores(text, isDigit: \.isHexDigit) else { return nil }
        return Int64(digits, radix: radix).map { .integer($0) }
    }

    /// Takes decimal digits with single underscores between them off the front; nil if there are none.
    private static func takeDigits(_ rest: inout Substring) -> String? {
        let run = rest.prefix { $0 == "_" || isDigit($0) }
        guard let digits = strippingUnderscores(run, isDigit: isDigit) else { return nil }
        rest = rest.dropFirst(run.count)
        return digits
    }

    /// The digits without underscores; nil if one does not stand between two digits.
    private static func strippingUnderscores(_ text: Substring, isDigit: (Character) -> Bool) -> String? {
        let groups = text.split(separator: "_", omittingEmptySubsequences: false)
        guard groups.allSatisfy({ !$0.isEmpty && $0.allSatisfy { $0.isASCII && isDigit($0) } }) else { return nil }
        return groups.joined()
    }

    private static func isDigit(_ character: Character) -> Bool { character.isASCII && character.isWholeNumber }

    /// What follows the whole digits, without underscores: `.5`, `e3`, `.5e-3`.
    private static func fraction(_ text: Substring) -> String? {
        var rest = text
        var out = ""
        if rest.first == "." {
            rest.removeFirst()
            guard let digits = takeDigits(&rest) else { return nil }
            out += "." + digits
        }
        if rest.isEmpty { return out }
        guard rest.first == "e" || rest.first == "E" else { return nil }
        rest.removeFirst()
        out += "e"
        if let sign = rest.first, sign == "+" || sign == "-" { out.append(rest.removeFirst()) }
        guard let digits = takeDigits(&rest), rest.isEmpty else { return nil }
        return out + digits
    }
}
