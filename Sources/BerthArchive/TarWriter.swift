internal import BerthBase

/// Writes tar archives into memory: ustar headers, PAX records for what does not fit. For tests and small archives.
package struct TarWriter {
    /// The archive so far.
    package private(set) var bytes: [UInt8] = []

    /// Makes an empty archive.
    package init() {}

    /// Appends a member with its data (for a sparse file: the data of its segments, one after the other).
    package mutating func add(_ entry: TarEntry, _ data: [UInt8] = []) {
        var records: [(String, [UInt8])] = []
        if entry.name.count > 100 { records.append(("path", entry.name)) }
        if entry.linkName.count > 100 { records.append(("linkpath", entry.linkName)) }
        if entry.modified.nanoseconds != 0 || entry.modified.seconds < 0 {
            let digits = String(entry.modified.nanoseconds)
            let fraction = String(repeating: "0", count: 9 - digits.count) + digits
            records.append(("mtime", Array("\(entry.modified.seconds).\(fraction)".utf8)))
        }
        for (key, number) in [("uid", entry.uid), ("gid", entry.gid)] where number > 0o7777777 {
            records.append((key, Array(String(number).utf8)))
        }
        for attribute in entry.attributes {
            records.append(("SCHILY.xattr." + String(decoding: attribute.name, as: UTF8.self), attribute.value))
        }
        if !records.isEmpty { raw("x", name: Array("PaxHeaders/x".utf8), payload: Self.encode(records)) }
        header(entry, size: data.count)
        pad(data)
    }

    /// Appends a member of any type with a payload as it is: a PAX header, a GNU long name, something broken.
    package mutating func raw(_ type: Character, name: [UInt8], payload: [UInt8]) {
        var entry = TarEntry()
        entry.name = name
        entry.mode = 0o644
        var block = Self.block(entry, type: type.asciiValue ?? 0, size: payload.count)
        Self.seal(&block)
        bytes += block
        pad(payload)
    }

    /// Appends bytes as they are.
    package mutating func append(_ more: [UInt8]) { bytes += more }

    /// The archive with its end.
    package func finished() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    /// PAX records with their lengths in front.
    package static func encode(_ records: [(String, [UInt8])]) -> [UInt8] {
        records.flatMap { key, value -> [UInt8] in
            let body = Array(" \(key)=".utf8) + value + [0x0a]
            var length = body.count + 1
            while String(length).utf8.count + body.count != length { length = String(length).utf8.count + body.count }
            return Array(String(length).utf8) + body
        }
    }

    private mutating func pad(_ data: [UInt8]) {
        bytes += data
        bytes += [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
    }

    private mutating func header(_ entry: TarEntry, size: Int) {
        let type: Character =
            switch entry.kind {
            case .file: "0"
            case .hardLink: "1"
            case .symlink: "2"
            case .characterDevice: "3"
            case .blockDevice: "4"
            case .directory: "5"
            case .fifo: "6"
            }
        var block = Self.block(entry, type: type.asciiValue ?? 0, size: size)
        Self.put(Self.octal(UInt64(entry.deviceMajor), 7), at: 329, in: &block)
        Self.put(Self.octal(UInt64(entry.deviceMinor), 7), at: 337, in: &block)
        Self.seal(&block)
        bytes += block
    }

    private static func block(_ entry: TarEntry, type: UInt8, size: Int) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        put(Array(entry.name.prefix(100)), at: 0, in: &block)
        put(octal(UInt64(entry.mode), 7), at: 100, in: &block)
        put(octal(UInt64(min(entry.uid, 0o7777777)), 7), at: 108, in: &block)
        put(octal(UInt64(min(entry.gid, 0o7777777)), 7), at: 116, in: &block)
        put(octal(UInt64(size), 11), at: 124, in: &block)
        put(octal(UInt64(max(0, entry.modified.seconds)), 11), at: 136, in: &block)
        block[156] = type
        put(Array(entry.linkName.prefix(100)), at: 157, in: &block)
        put(Array("ustar\u{0}00".utf8), at: 257, in: &block)
        return block
    }

    /// Puts the checksum in.
    package static func seal(_ block: inout [UInt8]) {
        for index in 148..<156 { block[index] = UInt8(ascii: " ") }
        let sum = block.reduce(UInt64(0)) { $0 + UInt64($1) }
        put(octal(sum, 6) + [0], at: 148, in: &block)
    }

    private static func put(_ field: [UInt8], at offset: Int, in block: inout [UInt8]) {
        block.replaceSubrange(offset..<offset + field.count, with: field)
    }

    private static func octal(_ number: UInt64, _ width: Int) -> [UInt8] {
        let digits = String(number, radix: 8).utf8
        return [UInt8](repeating: UInt8(ascii: "0"), count: max(0, width - digits.count)) + digits
    }
}
