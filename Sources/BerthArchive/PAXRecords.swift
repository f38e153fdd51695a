/// The records of a PAX extended header. Source: POSIX, "pax Extended Header"; GNU tar's manual, "Sparse Formats".
struct PAXRecords {
    /// Keys but those below, with the last value of each.
    private(set) var values: [String: [UInt8]] = [:]
    /// `SCHILY.xattr.NAME` records, in order.
    private(set) var attributes: [TarEntry.Attribute] = []
    /// The offsets and lengths of GNU sparse format 0.0, in order.
    private(set) var sparse: [TarEntry.Segment] = []

    init() {}

    /// - Throws: `dataLoss` for a malformed record.
    init(parsing payload: [UInt8]) throws {
        var rest = payload[...]
        var offset: Int64?
        while !rest.isEmpty {
            // Padding of zeros at the end is written by some tools.
            if rest.first == 0 { break }
            let (key, value, used) = try Self.record(rest)
            rest = rest.dropFirst(used)
            switch key {
            case "GNU.sparse.offset": offset = try Self.number(value, key)
            case "GNU.sparse.numbytes":
                guard let start = offset else { throw TarHeader.wrong("a sparse length comes before its offset") }
                sparse.append(TarEntry.Segment(offset: start, length: try Self.number(value, key)))
                offset = nil
            default: take(key, value)
            }
        }
    }

    private mutating func take(_ key: String, _ value: [UInt8]) {
        let prefix = "SCHILY.xattr."
        if key.hasPrefix(prefix) {
            let name = Array(key.dropFirst(prefix.count).utf8)
            attributes.removeAll { $0.name == name }
            attributes.append(TarEntry.Attribute(name: name, value: value))
        } else {
            values[key] = value
        }
    }

    /// `LENGTH KEY=VALUE\n`, the length counting all of it.
    private static func record(_ bytes: ArraySlice<UInt8>) throws -> (key: String, value: [UInt8], used: Int) {
        let digits = bytes.prefix(20).prefix { (0x30...0x39).contains($0) }
        let start = digits.endIndex
        guard let length = Int(String(decoding: digits, as: UTF8.self)), length > digits.count + 2,
            length <= bytes.count, bytes[start] == UInt8(ascii: " ")
        else { throw TarHeader.wrong("a PAX record's length is wrong") }
        let body = bytes[start + 1..<bytes.startIndex + length]
        guard body.last == 0x0a, let equals = body.firstIndex(of: UInt8(ascii: "=")), equals > body.startIndex else {
            throw TarHeader.wrong("a PAX record is malformed")
        }
        let key = String(decoding: body[..<equals], as: UTF8.self)
        return (key, Array(body[(equals + 1)...].dropLast()), length)
    }

    static func number(_ value: [UInt8], _ key: String) throws -> Int64 {
        guard let number = Int64(String(decoding: value, as: UTF8.self)), number >= 0 else {
            throw TarHeader.wrong("PAX record '\(key)' is no number")
        }
        return number
    }

    /// `SECONDS[.FRACTION]`, perhaps negative.
    static func time(_ value: [UInt8], _ key: String) throws -> TarEntry.Time {
        let text = String(decoding: value.prefix(64), as: UTF8.self)
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, let seconds = Int64(whole) else {
            throw TarHeader.wrong("PAX record '\(key)' is no time")
        }
        guard parts.count == 2 else { return TarEntry.Time(seconds: seconds) }
        let digits = parts[1].prefix(9)
        guard let fraction = Int64(digits.isEmpty ? "0" : digits), fraction >= 0 else {
            throw TarHeader.wrong("PAX record '\(key)' is no time")
        }
        let nanoseconds = (digits.count..<9).reduce(fraction) { value, _ in value * 10 }
        guard whole.hasPrefix("-"), nanoseconds > 0 else {
            return TarEntry.Time(seconds: seconds, nanoseconds: nanoseconds)
        }
        return TarEntry.Time(seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds)
    }

    /// These records with those of a later header over them; an empty value takes a record away.
    func overlaid(by later: PAXRecords) -> PAXRecords {
        var both = self
        both.values.merge(later.values) { _, new in new }
        for attribute in later.attributes {
            both.attributes.removeAll { $0.name == attribute.name }
            both.attributes.append(attribute)
        }
        both.sparse = later.sparse
        return both
    }

    func text(_ key: String) -> [UInt8]? {
        guard let value = values[key], !value.isEmpty else { return nil }
        return value
    }

    func number(_ key: String) throws -> Int64? { try text(key).map { try Self.number($0, key) } }

    /// Overrides what the fixed header says.
    func apply(to entry: inout TarEntry) throws {
        for key in ["path", "linkpath"] where text(key)?.contains(0) == true {
            throw TarHeader.wrong("a name holds a NUL byte")
        }
        if let path = text("path") { entry.name = path }
        if let link = text("linkpath") { entry.linkName = link }
        if let uid = try number("uid") { entry.uid = try TarHeader.id(uid, "user") }
        if let gid = try number("gid") { entry.gid = try TarHeader.id(gid, "group") }
        if let time = text("mtime") { entry.modified = try Self.time(time, "mtime") }
        if let time = text("atime") { entry.accessed = try Self.time(time, "atime") }
        entry.attributes = attributes
    }
}
