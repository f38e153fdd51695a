/// Encodes an `Encodable` as a table, properties in snake case. Every node lies at `position`.
package enum TOMLEncoder {
    package static func encode(_ value: some Encodable, at position: SourcePosition) throws -> TOMLTable {
        let box = NodeBox(position: position)
        try value.encode(to: NodeEncoder(box: box, codingPath: []))
        guard let table = box.node.table else {
            throw TOMLProblem(position, "a \(type(of: value)) is no table")
        }
        return table
    }
}

/// A node under construction.
private final class NodeBox {
    var node: TOMLNode
    let position: SourcePosition
    private let store: (TOMLNode) -> Void

    init(position: SourcePosition, store: @escaping (TOMLNode) -> Void = { _ in }) {
        node = TOMLNode(.table(TOMLTable()), at: position)
        self.position = position
        self.store = store
    }

    func set(_ value: TOMLNode.Value) {
        node = TOMLNode(value, at: position)
        store(node)
    }

    func child(_ key: String) -> NodeBox {
        NodeBox(position: position) { [self] node in
            var table = self.node.table ?? TOMLTable()
            table[key] = node
            set(.table(table))
        }
    }

    func item(_ index: Int) -> NodeBox {
        NodeBox(position: position) { [self] node in
            var items = self.node.array ?? []
            if index < items.count { items[index] = node } else { items.append(node) }
            set(.array(items))
        }
    }
}

private struct NodeEncoder: Encoder, SingleValueEncodingContainer {
    let box: NodeBox
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if box.node.table == nil || box.node.table?.keys.isEmpty == true { box.set(.table(TOMLTable())) }
        return KeyedEncodingContainer(KeyedWriter<Key>(box: box, codingPath: codingPath))
    }
    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        box.set(.array([]))
        return ListWriter(box: box, codingPath: codingPath)
    }
    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    func encodeNil() throws {}
    func encode(_ value: Bool) throws { box.set(.boolean(value)) }
    func encode(_ value: String) throws { box.set(.string(value)) }
    func encode(_ value: Double) throws { box.set(.float(value)) }
    func encode(_ value: Float) throws { box.set(.float(Double(value))) }
    func encode(_ value: Int) throws { box.set(.integer(Int64(value))) }
    func encode(_ value: Int8) throws { box.set(.integer(Int64(value))) }
    func encode(_ value: Int16) throws { box.set(.integer(Int64(value))) }
    func encode(_ value: Int32) throws { box.set(.integer(Int64(value))) }
    func encode(_ value: Int64) throws { box.set(.integer(value)) }
    func encode(_ value: UInt) throws { box.set(.integer(Int64(clamping: value))) }
    func encode(_ value: UInt8) throws { box.set(.integer(Int64(value))) }
    func encode(_ value: UInt16) throws { box.set(.integer(Int64(value))) }
    func encode(_ value: UInt32) throws { box.set(.integer(Int64(value))) }
    func encode(_ value: UInt64) throws { box.set(.integer(Int64(clamping: value))) }
    func encode(_ value: some Encodable) throws {
        // A dictionary's keys are data: they stay as they are.
        guard let dictionary = value as? any StringKeyed else { return try value.encode(to: self) }
        try dictionary.encode(into: self)
    }

    fileprivate func entry(_ key: String) -> NodeEncoder {
        NodeEncoder(box: box.child(key), codingPath: codingPath + [NamedKey(key)])
    }
}

/// A dictionary from text to something that can be encoded.
private protocol StringKeyed {
    func encode(into encoder: NodeEncoder) throws
}

extension Dictionary: StringKeyed where Key == String, Value: Encodable {
    fileprivate func encode(into encoder: NodeEncoder) throws {
        encoder.box.set(.table(TOMLTable()))
        for (key, value) in sorted(by: { $0.key < $1.key }) { try encoder.entry(key).encode(value) }
    }
}

private struct KeyedWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let box: NodeBox
    let codingPath: [any CodingKey]

    private func writer(_ key: Key) -> NodeEncoder {
        NodeEncoder(box: box.child(snakeCase(key.stringValue)), codingPath: codingPath + [key])
    }
    func encodeNil(forKey key: Key) throws {}
    func encode(_ value: some Encodable, forKey key: Key) throws { try writer(key).encode(value) }
    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<
        Nested
    > {
        writer(key).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { writer(key).unkeyedContainer() }
    func superEncoder() -> any Encoder { NodeEncoder(box: box, codingPath: codingPath) }
    func superEncoder(forKey key: Key) -> any Encoder { writer(key) }
}

private struct ListWriter: UnkeyedEncodingContainer {
    let box: NodeBox
    let codingPath: [any CodingKey]
    var count = 0

    private mutating func next() -> NodeEncoder {
        defer { count += 1 }
        return NodeEncoder(box: box.item(count), codingPath: codingPath)
    }
    mutating func encodeNil() throws {}
    mutating func encode(_ value: some Encodable) throws { try next().encode(value) }
    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        next().container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { next().unkeyedContainer() }
    mutating func superEncoder() -> any Encoder { next() }
}

extension TOMLNode {
    /// The value as it stands behind `=`, tables inline.
    package var text: String {
        switch value {
        case .string(let text): Self.quoted(text)
        case .integer(let value): "\(value)"
        case .float(let value): value.isNaN ? "nan" : value.isInfinite ? (value < 0 ? "-inf" : "inf") : "\(value)"
        case .boolean(let value): value ? "true" : "false"
        case .date(let text): text
        case .array(let items): "[" + items.map(\.text).joined(separator: ", ") + "]"
        case .table(let table):
            "{"
                + table.keys.compactMap { key in table[key].map { "\(Self.key(key)) = \($0.text)" } }.joined(
                    separator: ", ") + "}"
        }
    }

    /// A key, quoted where it must be.
    package static func key(_ name: String) -> String {
        let bare =
            !name.isEmpty
            && name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || byte == 0x5f || byte == 0x2d
            }
        return bare ? name : quoted(name)
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case "\r": out += "\\r"
            case let other where other.value < 0x20 || other.value == 0x7f:
                let hex = String(other.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
