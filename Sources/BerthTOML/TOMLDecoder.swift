/// Decodes a table into a `Decodable`, strictly: a key nobody asked for is a problem, with a suggestion.
///
/// Properties in camel case are keys in snake case. Problems carry the place of the value.
package enum TOMLDecoder {
    /// Decodes `table`, which lies at `position` (for problems about missing keys).
    ///
    /// - Throws: `TOMLProblems` with everything that is wrong.
    package static func decode<T: Decodable>(
        _ type: T.Type, from table: TOMLTable, at position: SourcePosition, path: String = ""
    ) throws -> T {
        let log = ProblemLog()
        let node = TOMLNode(.table(table), at: position)
        let result = Result { try T(from: NodeDecoder(node: node, path: path, log: log, codingPath: [])) }
        var problems = log.problems
        if case .failure(let error) = result, !(error is AlreadyLogged) {
            problems.append(TOMLProblem(wrapping: error, at: position))
        }
        guard problems.isEmpty else { throw TOMLProblems(problems.sorted { $0.position < $1.position }) }
        return try result.get()
    }
}

/// Everything that is wrong with a configuration.
package struct TOMLProblems: Error, Sendable, CustomStringConvertible {
    package var all: [TOMLProblem]
    package init(_ all: [TOMLProblem]) { self.all = all }
    /// One line each.
    package var description: String { all.map(\.description).joined(separator: "\n") }
}

/// Collects problems while containers come and go.
final class ProblemLog {
    var problems: [TOMLProblem] = []
}

/// Ends the decoding of a value whose problem is in the log.
struct AlreadyLogged: Error {}

extension TOMLProblem {
    /// What a type's own `init(from:)` threw, with the place of its value.
    init(wrapping error: any Error, at position: SourcePosition) {
        if let known = error as? TOMLProblem {
            self = known
        } else if case DecodingError.dataCorrupted(let context)? = error as? DecodingError {
            self.init(position, context.debugDescription)
        } else {
            self.init(position, "\(error)")
        }
    }
}

/// Decodes one value.
struct NodeDecoder: Decoder {
    let node: TOMLNode
    let path: String
    let log: ProblemLog
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard let table = node.table else { throw wrong("a table") }
        return KeyedDecodingContainer(KeyedTable<Key>(table: table, decoder: self))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard let items = node.array else { throw wrong("an array") }
        return ItemList(items: items, decoder: self)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

    func wrong(_ wanted: String) -> TOMLProblem {
        TOMLProblem(node.position, "'\(path)' must be \(wanted), not \(node.kind)")
    }

    func child(_ node: TOMLNode, _ key: any CodingKey) -> NodeDecoder {
        let name =
            key.intValue.map { "\(path)[\($0)]" } ?? (path.isEmpty ? key.stringValue : "\(path).\(key.stringValue)")
        return NodeDecoder(node: node, path: name, log: log, codingPath: codingPath + [key])
    }

    func integer<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
        guard let value = node.integer else { throw wrong("an integer") }
        guard let exact = T(exactly: value) else {
            throw TOMLProblem(node.position, "'\(path)' is \(value), outside \(T.min)…\(T.max)")
        }
        return exact
    }
}

extension NodeDecoder: SingleValueDecodingContainer {
    func decodeNil() -> Bool { false }
    func decode(_ type: Bool.Type) throws -> Bool {
        guard let value = node.boolean else { throw wrong("true or false") }
        return value
    }
    func decode(_ type: String.Type) throws -> String {
        guard let text = node.string else { throw wrong("a string") }
        return text
    }
    func decode(_ type: Double.Type) throws -> Double {
        if let whole = node.integer { return Double(whole) }
        guard case .float(let value) = node.value else { throw wrong("a number") }
        return value
    }
    func decode(_ type: Float.Type) throws -> Float { Float(try decode(Double.self)) }
    func decode(_ type: Int.Type) throws -> Int { try integer(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }
    func decode<T: Decodable>(_ type: T.Type) throws -> T {
        do { return try T(from: self) } catch let error as DecodingError {
            if let words = Self.words(of: T.self), let text = node.string {
                throw TOMLProblem(node.position, "'\(path)' is '\(text)', none of \(words.joined(separator: ", "))")
            }
            if case .dataCorrupted(let context) = error {
                throw TOMLProblem(node.position, "'\(path)': \(context.debugDescription)")
            }
            throw error
        } catch let error where !(error is TOMLProblem) && !(error is AlreadyLogged) {
            throw TOMLProblem(node.position, "'\(path)': \(error)")
        }
    }

    /// The words of an enumeration that lists its cases.
    private static func words(of type: Any.Type) -> [String]? {
        func list<Words: CaseIterable & RawRepresentable>(_ type: Words.Type) -> [String]? {
            let words = type.allCases.compactMap { $0.rawValue as? String }
            return words.isEmpty ? nil : words
        }
        return (type as? any (CaseIterable & RawRepresentable).Type).flatMap { list($0) }
    }
}

/// A key or index that has no type.
struct NamedKey: CodingKey {
    let stringValue: String
    let intValue: Int?
    init(_ name: String) { (stringValue, intValue) = (name, nil) }
    init?(stringValue: String) { self.init(stringValue) }
    init(intValue: Int) { (stringValue, self.intValue) = ("\(intValue)", intValue) }
}

private struct ItemList: UnkeyedDecodingContainer {
    let items: [TOMLNode]
    let decoder: NodeDecoder
    var currentIndex = 0
    var codingPath: [any CodingKey] { decoder.codingPath }
    var count: Int? { items.count }
    var isAtEnd: Bool { currentIndex >= items.count }

    private mutating func next() throws -> NodeDecoder {
        guard !isAtEnd else { throw decoder.wrong("a longer array") }
        defer { currentIndex += 1 }
        return decoder.child(items[currentIndex], NamedKey(intValue: currentIndex))
    }
    mutating func decodeNil() -> Bool { false }
    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try next().decode(type) }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested>
    {
        try next().container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
    mutating func superDecoder() throws -> any Decoder { try next() }
}
