internal import BerthBase

/// One filter expression as containerd's clients write them: selectors joined by commas, all of which must hold.
///
/// Source: the grammar of containerd's filter package. A selector is a field path alone (present), or one with `==`,
/// `!=` or `~=` (a regular expression) and a value; names and values may be quoted as Go strings, a regular
/// expression also by `/` or `|`. Unlike containerd, a broken regular expression is an error and not "no match".
struct Filter: Sendable {
    enum Test: Sendable, Equatable { case present, equal(String), unequal(String), matches(String) }
    struct Condition: Sendable, Equatable {
        var path: [String]
        var test: Test
    }
    let conditions: [Condition]

    /// - Throws: `invalidArgument` naming the expression and where it breaks.
    init(_ text: String) throws {
        var parser = FilterParser(text)
        conditions = try parser.conditions()
    }

    /// Whether any of the filters matches; none at all match everything. A field that is absent is nil.
    static func any(_ filters: [Filter], _ field: ([String]) -> String?) throws -> Bool {
        if filters.isEmpty { return true }
        for filter in filters where try filter.matches(field) { return true }
        return false
    }

    /// The value of a path `labels.…`: what follows is one key, however many dots are in it.
    static func label(_ path: [String], in labels: [String: String]) -> String? {
        guard path.count > 1, path[0] == "labels" else { return nil }
        return labels[path.dropFirst().joined(separator: ".")]
    }

    private func matches(_ field: ([String]) -> String?) throws -> Bool {
        for condition in conditions {
            let value = field(condition.path)
            switch condition.test {
            case .present: if value == nil { return false }
            case .equal(let wanted): if value != wanted { return false }
            case .unequal(let other): if (value ?? "") == other { return false }
            case .matches(let pattern):
                let regex = try Self.regex(pattern)
                if (value ?? "").firstMatch(of: regex) == nil { return false }
            }
        }
        return true
    }

    fileprivate static func regex(_ pattern: String) throws -> Regex<AnyRegexOutput> {
        do { return try Regex(pattern).matchingSemantics(.unicodeScalar) } catch {
            throw BerthError(.invalidArgument, "filter: '\(pattern)' is no regular expression")
        }
    }
}

private struct FilterParser {
    let text: String
    var rest: Substring

    init(_ text: String) {
        self.text = text
        rest = text[...]
    }

    func wrong(_ what: String) -> BerthError {
        let place = text.distance(from: text.startIndex, to: rest.startIndex) + 1
        return BerthError(.invalidArgument, "filter '\(text.prefix(200))': \(what) at character \(place)")
    }

    mutating func conditions() throws -> [Filter.Condition] {
        var all: [Filter.Condition] = []
        if text.isEmpty { return all }
        while true {
            all.append(try condition())
            if rest.isEmpty { return all }
            guard rest.first == "," else { throw wrong("',' or an operator expected") }
            rest.removeFirst()
        }
    }

    private mutating func condition() throws -> Filter.Condition {
        var path = [try name()]
        while rest.first == "." {
            rest.removeFirst()
            path.append(try name())
        }
        if take("==") { return Filter.Condition(path: path, test: .equal(try value())) }
        if take("!=") { return Filter.Condition(path: path, test: .unequal(try value())) }
        guard take("~=") else { return Filter.Condition(path: path, test: .present) }
        let pattern = try value(isPattern: true)
        _ = try Filter.regex(pattern)
        return Filter.Condition(path: path, test: .matches(pattern))
    }

    private mutating func take(_ mark: String) -> Bool {
        guard rest.hasPrefix(mark) else { return false }
        rest = rest.dropFirst(mark.count)
        return true
    }

    private mutating func name() throws -> String {
        if rest.first == "\"" { return try quoted() }
        let word = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
        guard let first = word.first, !first.isNumber else { throw wrong("a field expected") }
        rest = rest.dropFirst(word.count)
        return String(word)
    }

    private mutating func value(isPattern: Bool = false) throws -> String {
        if rest.first == "\"" { return try quoted() }
        if let mark = rest.first, mark == "/" || mark == "|" {
            // containerd reads these as quotes everywhere and allows them for regular expressions only.
            guard isPattern else { throw wrong("a value quoted by '\(mark)' is for '~=' only") }
            return try delimited(mark)
        }
        let word = rest.prefix { $0 != "," && !$0.isWhitespace }
        guard !word.isEmpty else { throw wrong("a value expected") }
        rest = rest.dropFirst(word.count)
        return String(word)
    }

    /// A regular expression between two marks; only the mark itself is escaped.
    private mutating func delimited(_ mark: Character) throws -> String {
        let start = rest
        rest.removeFirst()
        var out = ""
        while let next = rest.popFirst() {
            if next == mark { return out }
            out.append(next)
            guard next == "\\", let escaped = rest.popFirst() else { continue }
            if escaped == mark { out.removeLast() }
            out.append(escaped)
        }
        rest = start
        throw wrong("no closing '\(mark)' for the one")
    }

    /// A Go string in double quotes.
    private mutating func quoted() throws -> String {
        let start = rest
        rest.removeFirst()
        var out: [UInt8] = []
        while let next = rest.popFirst() {
            if next == "\"" { return String(decoding: out, as: UTF8.self) }
            if next != "\\" { out.append(contentsOf: Array(String(next).utf8)) } else { try escape(into: &out) }
        }
        rest = start
        throw wrong("no closing '\"' for the one")
    }

    private mutating func escape(into out: inout [UInt8]) throws {
        guard let letter = rest.popFirst() else { throw wrong("an escape expected") }
        let simple: [Character: UInt8] = [
            "a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "\\": 0x5c, "\"": 0x22, "'": 0x27,
        ]
        switch letter {
        case "x": out.append(UInt8(truncatingIfNeeded: try number(digits: 2, radix: 16)))
        case "u": out.append(contentsOf: try scalar(digits: 4))
        case "U": out.append(contentsOf: try scalar(digits: 8))
        case "0"..."3":
            rest = text[text.index(before: rest.startIndex)...]
            out.append(UInt8(truncatingIfNeeded: try number(digits: 3, radix: 8)))
        default:
            guard let byte = simple[letter] else { throw wrong("unknown escape '\\\(letter)'") }
            out.append(byte)
        }
    }

    private mutating func number(digits: Int, radix: Int) throws -> UInt32 {
        let word = rest.prefix(digits)
        guard word.count == digits, word.allSatisfy(\.isHexDigit), let value = UInt32(word, radix: radix) else {
            throw wrong("\(digits) digits expected")
        }
        rest = rest.dropFirst(digits)
        return value
    }

    private mutating func scalar(digits: Int) throws -> [UInt8] {
        guard let scalar = Unicode.Scalar(try number(digits: digits, radix: 16)) else {
            throw wrong("no character has this number")
        }
        return Array(String(Character(scalar)).utf8)
    }
}
