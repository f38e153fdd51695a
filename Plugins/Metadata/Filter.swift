internal import BerthBase

/// One filter expression of containerd: conditions joined by commas, all of which must hold.
///
/// Source: containerd's filter documentation. `name`, `name==x`, `name!=x`, `name~=regex`, `labels."a.b"==x`.
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

    /// Whether any of the filters matches; none at all match everything.
    static func any(_ filters: [Filter], _ field: ([String]) -> String?) throws -> Bool {
        if filters.isEmpty { return true }
        for filter in filters where try filter.matches(field) { return true }
        return false
    }

    private func matches(_ field: ([String]) -> String?) throws -> Bool {
        for condition in conditions {
            let value = field(condition.path)
            switch condition.test {
            case .present: if value?.isEmpty != false { return false }
            case .equal(let wanted): if value != wanted { return false }
            case .unequal(let other): if value == other { return false }
            case .matches(let pattern):
                guard let value else { return false }
                let regex: Regex<AnyRegexOutput>
                do { regex = try Regex(pattern) } catch {
                    throw BerthError(.invalidArgument, "filter: '\(pattern)' is no regular expression")
                }
                if value.firstMatch(of: regex) == nil { return false }
            }
        }
        return true
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
        BerthError(.invalidArgument, "filter '\(text)': \(what) at '\(rest.prefix(20))'")
    }

    mutating func conditions() throws -> [Filter.Condition] {
        var all: [Filter.Condition] = []
        if text.isEmpty { return all }
        while true {
            all.append(try condition())
            if rest.isEmpty { return all }
            guard rest.first == "," else { throw wrong("',' expected") }
            rest.removeFirst()
        }
    }

    private mutating func condition() throws -> Filter.Condition {
        var path = [try name()]
        while rest.first == "." {
            rest.removeFirst()
            path.append(try name())
        }
        for (mark, make) in [("==", Filter.Test.equal), ("!=", Filter.Test.unequal), ("~=", Filter.Test.matches)]
        where rest.hasPrefix(mark) {
            rest = rest.dropFirst(2)
            return Filter.Condition(path: path, test: make(try value()))
        }
        return Filter.Condition(path: path, test: .present)
    }

    private mutating func name() throws -> String {
        if rest.first == "\"" { return try quoted("\"") }
        let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" || $0 == "/" }
        guard !word.isEmpty else { throw wrong("a field expected") }
        rest = rest.dropFirst(word.count)
        return String(word)
    }

    private mutating func value() throws -> String {
        if let mark = rest.first, mark == "\"" || mark == "/" || mark == "|" { return try quoted(mark) }
        let word = rest.prefix { $0 != "," }
        guard !word.isEmpty else { throw wrong("a value expected") }
        rest = rest.dropFirst(word.count)
        return String(word)
    }

    private mutating func quoted(_ mark: Character) throws -> String {
        rest.removeFirst()
        var out = ""
        while let next = rest.popFirst() {
            if next == mark { return out }
            if next == "\\", let escaped = rest.popFirst() {
                if escaped != mark && mark != "\"" { out.append("\\") }
                out.append(escaped)
            } else {
                out.append(next)
            }
        }
        throw wrong("a closing \(mark) expected")
    }
}
