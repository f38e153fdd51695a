/// A strict parser of TOML 1.0 that knows the place of every value.
package struct TOMLParser {
    /// The deepest nesting of tables and arrays: a hostile file must not exhaust the stack.
    static let maxDepth = 64

    var scanner: TOMLScanner
    private var root = TOMLTable()
    private var current: [String] = []

    /// Parses a document. `file` is the name in messages.
    ///
    /// - Throws: `TOMLProblem` for the first thing that is no TOML.
    package static func parse(_ text: String, file: String) throws -> TOMLTable {
        var parser = TOMLParser(scanner: TOMLScanner(text, file: file))
        try parser.document()
        return parser.root
    }

    private init(scanner: TOMLScanner) { self.scanner = scanner }

    private mutating func document() throws {
        while true {
            try scanner.skipLines()
            guard let next = scanner.peek else { return }
            if next == "[" {
                try header()
                try scanner.endOfLine(after: "table's name")
            } else {
                try pair()
                try scanner.endOfLine(after: "value")
            }
        }
    }

    private mutating func header() throws {
        let position = scanner.position
        scanner.advance()
        let isArray = scanner.take("[")
        let path = try keyPath()
        guard scanner.take("]"), !isArray || scanner.take("]") else {
            throw scanner.problem("']' is missing after the table's name")
        }
        current = path
        try Self.open(path[...], in: &root, isArray: isArray, at: position)
    }

    /// Makes the table of a `[header]`, or one more item of a `[[header]]`.
    private static func open(
        _ path: ArraySlice<String>, in table: inout TOMLTable, isArray: Bool, at position: SourcePosition
    ) throws {
        guard let key = path.first else { return }
        if path.count > 1 {
            try descend(into: key, of: &table, at: position) { inner in
                try open(path.dropFirst(), in: &inner, isArray: isArray, at: position)
            }
            return
        }
        var fresh = TOMLTable()
        fresh.origin = isArray ? .arrayItem : .header
        switch table[key]?.value {
        case nil:
            table[key] = TOMLNode(
                isArray ? .array([TOMLNode(.table(fresh), at: position)]) : .table(fresh), at: position)
        case .array(let items)? where isArray && items.last?.table?.origin == .arrayItem:
            let first = table[key]?.position ?? position
            table[key] = TOMLNode(.array(items + [TOMLNode(.table(fresh), at: position)]), at: first)
        case .table(var known)? where !isArray && known.origin == .implicit:
            known.origin = .header
            table[key] = TOMLNode(.table(known), at: position)
        default:
            let before = table[key]?.position
            throw TOMLProblem(position, "'\(key)' is defined twice\(before.map { ", first at \($0)" } ?? "")")
        }
    }

    private static func descend(
        into key: String, of table: inout TOMLTable, at position: SourcePosition,
        _ body: (inout TOMLTable) throws -> Void
    ) throws {
        switch table[key]?.value {
        case nil:
            var inner = TOMLTable()
            inner.origin = .implicit
            try body(&inner)
            table[key] = TOMLNode(.table(inner), at: position)
        case .table(var inner)? where inner.origin != .inline:
            let place = table[key]?.position ?? position
            try body(&inner)
            table[key] = TOMLNode(.table(inner), at: place)
        case .array(var items)?:
            guard let last = items.indices.last, var inner = items[last].table, inner.origin == .arrayItem else {
                throw TOMLProblem(position, "'\(key)' is no array of tables")
            }
            try body(&inner)
            items[last].value = .table(inner)
            table[key]?.value = .array(items)
        default:
            throw TOMLProblem(position, "'\(key)' is no table that can be extended")
        }
    }

    private mutating func pair() throws {
        let position = scanner.position
        let (path, node) = try keyAndValue(depth: 0)
        try Self.edit(current[...], of: &root, at: position) { table in
            try Self.assign(path[...], node, in: &table, at: position)
        }
    }

    private static func edit(
        _ path: ArraySlice<String>, of table: inout TOMLTable, at position: SourcePosition,
        _ body: (inout TOMLTable) throws -> Void
    ) throws {
        guard let key = path.first else { return try body(&table) }
        try descend(into: key, of: &table, at: position) { try edit(path.dropFirst(), of: &$0, at: position, body) }
    }

    private static func assign(
        _ path: ArraySlice<String>, _ node: TOMLNode, in table: inout TOMLTable, at position: SourcePosition
    ) throws {
        guard let key = path.first else { return }
        if path.count == 1 {
            if let before = table[key] {
                throw TOMLProblem(position, "'\(key)' is defined twice, first at \(before.position)")
            }
            table[key] = node
            return
        }
        var inner = TOMLTable()
        inner.origin = .dotted
        if let known = table[key] {
            guard let existing = known.table, existing.origin == .dotted || existing.origin == .implicit else {
                throw TOMLProblem(position, "'\(key)' is defined twice, first at \(known.position)")
            }
            inner = existing
        }
        try assign(path.dropFirst(), node, in: &inner, at: position)
        table[key] = TOMLNode(.table(inner), at: table[key]?.position ?? position)
    }

    private mutating func keyAndValue(depth: Int) throws -> ([String], TOMLNode) {
        let path = try keyPath()
        guard scanner.take("=") else { throw scanner.problem("'=' is missing after the key") }
        scanner.skipBlank()
        return (path, try value(depth: depth + path.count - 1))
    }

    private mutating func keyPath() throws -> [String] {
        var path: [String] = []
        repeat {
            scanner.skipBlank()
            path.append(try scanner.key())
            guard path.count <= Self.maxDepth else { throw scanner.problem("nested deeper than \(Self.maxDepth)") }
            scanner.skipBlank()
        } while scanner.take(".")
        return path
    }

    private mutating func value(depth: Int) throws -> TOMLNode {
        let position = scanner.position
        if scanner.peek == "[" || scanner.peek == "{", depth >= Self.maxDepth {
            throw scanner.problem("nested deeper than \(Self.maxDepth)")
        }
        switch scanner.peek {
        case "\"", "'": return TOMLNode(.string(try scanner.string()), at: position)
        case "[": return TOMLNode(.array(try array(depth: depth)), at: position)
        case "{": return TOMLNode(.table(try inlineTable(depth: depth)), at: position)
        case nil, "\n", "#": throw scanner.problem("a value is missing")
        default: return TOMLNode(try scanner.scalar(), at: position)
        }
    }

    private mutating func array(depth: Int) throws -> [TOMLNode] {
        scanner.advance()
        var items: [TOMLNode] = []
        while true {
            try scanner.skipLines()
            if scanner.take("]") { return items }
            items.append(try value(depth: depth + 1))
            try scanner.skipLines()
            if scanner.take("]") { return items }
            guard scanner.take(",") else { throw scanner.problem("',' or ']' is missing in the array") }
        }
    }

    private mutating func inlineTable(depth: Int) throws -> TOMLTable {
        scanner.advance()
        var table = TOMLTable()
        scanner.skipBlank()
        if scanner.take("}") { return Self.sealed(table) }
        while true {
            scanner.skipBlank()
            let position = scanner.position
            let (path, node) = try keyAndValue(depth: depth + 1)
            try Self.assign(path[...], node, in: &table, at: position)
            scanner.skipBlank()
            if scanner.take("}") { return Self.sealed(table) }
            guard scanner.take(",") else { throw scanner.problem("',' or '}' is missing in the inline table") }
        }
    }

    private static func sealed(_ table: TOMLTable) -> TOMLTable {
        var table = table
        table.origin = .inline
        return table
    }
}
