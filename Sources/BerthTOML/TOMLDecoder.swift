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
        if case .failure(let error) = result { problems.append(problem(error, position)) }
        guard problems.isEmpty else { throw TOMLProblems(problems) }
        return try result.get()
    }

    private static func problem(_ error: any Error, _ position: SourcePosition) -> TOMLProblem {
        if let known = error as? TOMLProblem { return known }
        if case DecodingError.dataCorrupted(let context)? = error as? DecodingError {
            return TOMLProblem(position, context.debugDescription)
        }
        return TOMLProblem(position, "\(error)")
    }
}

/// Everything that is wrong with a configuration.
package struct TOMLProblems: Error, Sendable, CustomStringConvertible {
    package var all: [TOMLProblem]
    package init(_ all: [TOMLProblem]) { self.all = all }
    /// One line each.
    package var description: String { all.map(\.description).joined(separator: "\n") }
}

/// Collects unknown keys while containers come and go.
final class ProblemLog {
    var problems: [TOMLProblem] = []
}

/// `mountOptions` as a file has it: `mount_options`. Runs of capitals are one word: `plainHTTP` is `plain_http`.
package func snakeCase(_ name: String) -> String {
    let all = Array(name)
    var text = ""
    for (index, character) in all.enumerated() {
        let before = index > 0 ? all[index - 1] : "_"
        let after = index + 1 < all.count ? all[index + 1] : "_"
        let starts = character.isUppercase && (before.isLowercase || before.isNumber || (before.isUppercase && after.isLowercase))
        if starts && index > 0 { text += "_" }
        text += character.lowercased()
    }
    return text
}

/// The candidate nearest to `word`, if it is near enough to be a slip of the hand.
package func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
    let scored = candidates.map { ($0, distance(word, $0)) }.sorted { ($0.1, $0.0) < ($1.1, $1.0) }
    guard let best = scored.first, best.1 <= max(2, word.count / 3) else { return nil }
    return best.0
}

/// The Levenshtein distance.
private func distance(_ left: String, _ right: String) -> Int {
    let (a, b) = (Array(left), Array(right))
    var row = Array(0...b.count)
    for i in a.indices {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let cost = a[i] == b[j] ? 0 : 1
            let next = min(row[j] + 1, row[j + 1] + 1, diagonal + cost)
            (diagonal, row[j + 1]) = (row[j + 1], next)
        }
    }
    return row[b.count]
}

private struct NodeDecoder: Decoder {
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
        let name = key.intValue.map { "\(path)[\($0)]" } ?? (path.isEmpty ? key.stringValue : "\(path).\(key.stringValue)")
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
            if case .dataCorrupted(let context) = error {
                throw TOMLProblem(node.position, "'\(path)': \(context.debugDescription)")
            }
            throw error
        }
    }
}

/// Remembers which keys were asked for; the others are reported when the container goes.
private final class KeyedTable<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let table: TOMLTable
    let decoder: NodeDecoder
    private var asked: Set<String> = []

    init(table: TOMLTable, decoder: NodeDecoder) {
        self.table = table
        self.decoder = decoder
    }

    deinit {
        // A dictionary asks for `allKeys` and then for each.
        for key in table.keys where !asked.contains(key) {
            guard let node = table[key] else { continue }
            let name = decoder.path.isEmpty ? key : "\(decoder.path).\(key)"
            let hint = nearest(to: key, among: asked).map { "; did you mean '\($0)'?" } ?? ""
            decoder.log.problems.append(TOMLProblem(node.position, "unknown key '\(name)'\(hint)"))
        }
    }

    var codingPath: [any CodingKey] { decoder.codingPath }
    var allKeys: [Key] { table.keys.compactMap { Key(stringValue: $0) } }

    private func find(_ key: Key) -> NodeDecoder? {
        let exact = table[key.stringValue] != nil
        let name = exact ? key.stringValue : snakeCase(key.stringValue)
        asked.insert(name)
        guard let node = table[name] else { return nil }
        return decoder.child(node, NamedKey(name))
    }

    private func need(_ key: Key) throws -> NodeDecoder {
        if let found = find(key) { return found }
        throw TOMLProblem(
            decoder.node.position, "'\(decoder.path)': key '\(snakeCase(key.stringValue))' is missing")
    }

    func contains(_ key: Key) -> Bool { find(key) != nil }
    func decodeNil(forKey key: Key) -> Bool { find(key) == nil }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try need(key).decode(type) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try need(key).decode(type) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try need(key).decode(type) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try need(key).decode(type) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try need(key).decode(type) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try need(key).decode(type) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try need(key).decode(type) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try need(key).decode(type) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try need(key).decode(type) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try need(key).decode(type) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try need(key).decode(type) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try need(key).decode(type) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try need(key).decode(type) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try need(key).decode(type) }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try need(key).decode(type) }
    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> { try need(key).container(keyedBy: type) }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try need(key).unkeyedContainer()
    }
    func superDecoder() throws -> any Decoder { decoder }
    func superDecoder(forKey key: Key) throws -> any Decoder { try need(key) }
}

private struct NamedKey: CodingKey {
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
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
        try next().container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
    mutating func superDecoder() throws -> any Decoder { try next() }
}
