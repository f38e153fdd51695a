/// Encodes `Encodable` types as a JSON document without Foundation: keys in order, so equal values give equal bytes.
package struct JSONValueEncoder: Sendable {
    package init() {}

    /// - Throws: what the type's own `encode(to:)` throws.
    package func encode(_ value: some Encodable) throws -> JSONValue {
        let slot = Slot()
        try value.encode(to: SlotEncoder(slot: slot, codingPath: []))
        return slot.value
    }
}

/// The place that one value is written to: containers that a type holds on to must see each other's fields.
private final class Slot {
    private enum Content {
        case empty
        case single(JSONValue)
        case object([String: Slot])
        case array([Slot])
    }
    private var content = Content.empty

    var value: JSONValue {
        switch content {
        case .empty: .null
        case .single(let value): value
        case .object(let fields): .object(fields.mapValues(\.value))
        case .array(let items): .array(items.map(\.value))
        }
    }

    var count: Int {
        if case .array(let items) = content { return items.count }
        return 0
    }

    func set(_ value: JSONValue) { content = .single(value) }
    func becomeObject() { if case .object = content { return } else { content = .object([:]) } }
    func becomeArray() { if case .array = content { return } else { content = .array([]) } }

    func field(_ name: String) -> Slot {
        let slot = Slot()
        if case .object(var fields) = content {
            fields[name] = slot
            content = .object(fields)
        } else {
            content = .object([name: slot])
        }
        return slot
    }

    func append() -> Slot {
        let slot = Slot()
        if case .array(var items) = content {
            items.append(slot)
            content = .array(items)
        } else {
            content = .array([slot])
        }
        return slot
    }
}

private struct SlotEncoder: Encoder, SingleValueEncodingContainer {
    let slot: Slot
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        slot.becomeObject()
        return KeyedEncodingContainer(ObjectEncoder<Key>(slot: slot, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        slot.becomeArray()
        return ArrayEncoder(slot: slot, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    func encodeNil() { slot.set(.null) }
    func encode(_ value: Bool) { slot.set(.bool(value)) }
    func encode(_ value: String) { slot.set(.string(value)) }
    func encode(_ value: Double) throws { try slot.set(number(value)) }
    func encode(_ value: Float) throws { try slot.set(number(Double(value))) }
    func encode(_ value: Int) { slot.set(.number("\(value)")) }
    func encode(_ value: Int8) { slot.set(.number("\(value)")) }
    func encode(_ value: Int16) { slot.set(.number("\(value)")) }
    func encode(_ value: Int32) { slot.set(.number("\(value)")) }
    func encode(_ value: Int64) { slot.set(.number("\(value)")) }
    func encode(_ value: UInt) { slot.set(.number("\(value)")) }
    func encode(_ value: UInt8) { slot.set(.number("\(value)")) }
    func encode(_ value: UInt16) { slot.set(.number("\(value)")) }
    func encode(_ value: UInt32) { slot.set(.number("\(value)")) }
    func encode(_ value: UInt64) { slot.set(.number("\(value)")) }
    func encode(_ value: some Encodable) throws { try value.encode(to: self) }

    private func number(_ value: Double) throws -> JSONValue {
        guard value.isFinite else {
            throw EncodingError.invalidValue(
                value, EncodingError.Context(codingPath: codingPath, debugDescription: "JSON has no \(value)"))
        }
        // 3.0 is written as 3, as other writers of these documents do.
        return .number(Int64(exactly: value).map { "\($0)" } ?? "\(value)")
    }
}

private struct ObjectEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let slot: Slot
    let codingPath: [any CodingKey]

    private func at(_ key: some CodingKey) -> SlotEncoder {
        SlotEncoder(slot: slot.field(key.stringValue), codingPath: codingPath + [key])
    }

    func encodeNil(forKey key: Key) { at(key).encodeNil() }
    func encode(_ value: Bool, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: String, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: Double, forKey key: Key) throws { try at(key).encode(value) }
    func encode(_ value: Float, forKey key: Key) throws { try at(key).encode(value) }
    func encode(_ value: Int, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: Int8, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: Int16, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: Int32, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: Int64, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: UInt, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: UInt8, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: UInt16, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: UInt32, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: UInt64, forKey key: Key) { at(key).encode(value) }
    func encode(_ value: some Encodable, forKey key: Key) throws { try value.encode(to: at(key)) }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> { at(key).container(keyedBy: type) }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { at(key).unkeyedContainer() }
    func superEncoder() -> any Encoder { SlotEncoder(slot: slot, codingPath: codingPath) }
    func superEncoder(forKey key: Key) -> any Encoder { at(key) }
}

private struct ArrayEncoder: UnkeyedEncodingContainer {
    let slot: Slot
    let codingPath: [any CodingKey]
    var count: Int { slot.count }

    private func next() -> SlotEncoder {
        let path = codingPath + [ItemKey(intValue: slot.count)]
        return SlotEncoder(slot: slot.append(), codingPath: path)
    }

    func encodeNil() { next().encodeNil() }
    func encode(_ value: Bool) { next().encode(value) }
    func encode(_ value: String) { next().encode(value) }
    func encode(_ value: Double) throws { try next().encode(value) }
    func encode(_ value: Float) throws { try next().encode(value) }
    func encode(_ value: Int) { next().encode(value) }
    func encode(_ value: Int8) { next().encode(value) }
    func encode(_ value: Int16) { next().encode(value) }
    func encode(_ value: Int32) { next().encode(value) }
    func encode(_ value: Int64) { next().encode(value) }
    func encode(_ value: UInt) { next().encode(value) }
    func encode(_ value: UInt8) { next().encode(value) }
    func encode(_ value: UInt16) { next().encode(value) }
    func encode(_ value: UInt32) { next().encode(value) }
    func encode(_ value: UInt64) { next().encode(value) }
    func encode(_ value: some Encodable) throws { try value.encode(to: next()) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        next().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { next().unkeyedContainer() }
    func superEncoder() -> any Encoder { next() }
}
