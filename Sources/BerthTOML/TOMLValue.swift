/// A place in a file, counted from 1; columns count characters.
package struct SourcePosition: Sendable, Hashable, Comparable, CustomStringConvertible {
    package var file: String
    package var line: Int
    package var column: Int

    package init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// `file:line:column`.
    package var description: String { "\(file):\(line):\(column)" }

    /// Orders by file, then by place.
    package static func < (left: Self, right: Self) -> Bool {
        (left.file, left.line, left.column) < (right.file, right.line, right.column)
    }
}

/// What is wrong at a place of a configuration file.
package struct TOMLProblem: Error, Sendable, Hashable, CustomStringConvertible {
    package var position: SourcePosition
    package var message: String

    package init(_ position: SourcePosition, _ message: String) {
        self.position = position
        self.message = message
    }

    /// `file:line:column: message`.
    package var description: String { "\(position): \(message)" }
}

/// A value with the place it was written at.
package struct TOMLNode: Sendable {
    /// The kinds of TOML 1.0. Dates keep their text: no setting of Berth is a date.
    package enum Value: Sendable {
        case string(String)
        case integer(Int64)
        case float(Double)
        case boolean(Bool)
        case date(String)
        case array([TOMLNode])
        case table(TOMLTable)
    }

    package var value: Value
    package var position: SourcePosition

    package init(_ value: Value, at position: SourcePosition) {
        self.value = value
        self.position = position
    }

    /// For messages: `a string`.
    package var kind: String {
        switch value {
        case .string: "a string"
        case .integer: "an integer"
        case .float: "a float"
        case .boolean: "a boolean"
        case .date: "a date"
        case .array: "an array"
        case .table: "a table"
        }
    }

    /// The table, else nil.
    package var table: TOMLTable? {
        if case .table(let table) = value { return table }
        return nil
    }
    /// The text, else nil.
    package var string: String? {
        if case .string(let text) = value { return text }
        return nil
    }
    /// The items, else nil.
    package var array: [TOMLNode]? {
        if case .array(let items) = value { return items }
        return nil
    }
    /// The truth value, else nil.
    package var boolean: Bool? {
        if case .boolean(let value) = value { return value }
        return nil
    }
    /// The integer, else nil.
    package var integer: Int64? {
        if case .integer(let value) = value { return value }
        return nil
    }
}

/// A table: its keys in the order they were written.
package struct TOMLTable: Sendable {
    package private(set) var keys: [String] = []
    private var nodes: [String: TOMLNode] = [:]
    /// How it came to be, which decides what may be added to it.
    var origin = Origin.header

    enum Origin: Sendable { case header, implicit, dotted, inline, arrayItem }

    package init() {}

    package subscript(key: String) -> TOMLNode? {
        get { nodes[key] }
        set {
            if nodes[key] == nil, newValue != nil { keys.append(key) }
            if newValue == nil { keys.removeAll { $0 == key } }
            nodes[key] = newValue
        }
    }

    /// The node at a dotted path.
    package func node(at path: [String]) -> TOMLNode? {
        guard let first = path.first, let node = nodes[first] else { return nil }
        return path.count == 1 ? node : node.table?.node(at: Array(path.dropFirst()))
    }

    /// Puts `other` over this table: tables merge key by key, anything else is replaced.
    package mutating func merge(_ other: TOMLTable) {
        for key in other.keys {
            guard let new = other[key] else { continue }
            if case .table(var mine)? = nodes[key]?.value, case .table(let theirs) = new.value {
                mine.merge(theirs)
                self[key] = TOMLNode(.table(mine), at: new.position)
            } else {
                self[key] = new
            }
        }
    }
}
