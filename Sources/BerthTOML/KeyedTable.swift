/// A table that remembers which keys were asked for; the others are reported when the container goes.
///
/// A value of the wrong kind is logged and an empty one is given in its place, so that one look at a file finds
/// everything that is wrong with it; the empty value never leaves the decoder, which throws at the end.
final class KeyedTable<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let table: TOMLTable
    let decoder: NodeDecoder
    private var asked: Set<String> = []
    /// Set when a value could not be replaced: what its type would have asked for next is not known.
    private var isCutShort = false

    init(table: TOMLTable, decoder: NodeDecoder) {
        self.table = table
        self.decoder = decoder
    }

    deinit {
        if isCutShort { return }
        for key in table.keys where !asked.contains(key) {
            guard let node = table[key] else { continue }
            let name = decoder.path.isEmpty ? key : "\(decoder.path).\(key)"
            let hint = nearest(to: key, among: asked).map { "; did you mean '\($0)'?" } ?? ""
            decoder.log.problems.append(TOMLProblem(node.position, "unknown key '\(name)'\(hint)"))
        }
    }

    var codingPath: [any CodingKey] { decoder.codingPath }
    /// A dictionary asks for these, and then for each.
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
        isCutShort = true
        let place = decoder.path.isEmpty ? "" : "'\(decoder.path)': "
        throw TOMLProblem(decoder.node.position, "\(place)key '\(snakeCase(key.stringValue))' is missing")
    }

    /// The value; for one of the wrong kind, an empty one after a word in the log.
    private func value<T>(
        _ key: Key, orElse empty: @autoclosure () -> T?, _ decode: (NodeDecoder) throws -> T
    ) throws -> T {
        let child = try need(key)
        do { return try decode(child) } catch {
            if !(error is AlreadyLogged) {
                decoder.log.problems.append(TOMLProblem(wrapping: error, at: child.node.position))
            }
            if let empty = empty() { return empty }
            isCutShort = true
            throw AlreadyLogged()
        }
    }

    func contains(_ key: Key) -> Bool { find(key) != nil }
    func decodeNil(forKey key: Key) -> Bool { find(key) == nil }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        try value(key, orElse: false) { try $0.decode(type) }
    }
    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        try value(key, orElse: "") { try $0.decode(type) }
    }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try value(key, orElse: 0) { try $0.decode(type) } }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try value(key, orElse: 0) { try $0.decode(type) } }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try value(key, orElse: 0) { try $0.decode(type) } }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 {
        try value(key, orElse: 0) { try $0.decode(type) }
    }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
        try value(key, orElse: emptyValue(of: type)) { try $0.decode(type) }
    }
    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> { try need(key).container(keyedBy: type) }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try need(key).unkeyedContainer()
    }
    func superDecoder() throws -> any Decoder { decoder }
    func superDecoder(forKey key: Key) throws -> any Decoder { try need(key) }
}

/// An empty list or dictionary, the first case of an enumeration; nil for other types.
private func emptyValue<T>(of type: T.Type) -> T? {
    func list<Items: RangeReplaceableCollection>(_ type: Items.Type) -> T? { Items() as? T }
    func dictionary<Entries: ExpressibleByDictionaryLiteral>(_ type: Entries.Type) -> T? { ([:] as Entries) as? T }
    func first<Words: CaseIterable>(_ type: Words.Type) -> T? { Words.allCases.first as? T }
    if let items = type as? any RangeReplaceableCollection.Type { return list(items) }
    if let entries = type as? any ExpressibleByDictionaryLiteral.Type { return dictionary(entries) }
    if let words = type as? any CaseIterable.Type { return first(words) }
    return nil
}
