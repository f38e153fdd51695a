internal import BerthBase

/// One block of 512 bytes, read as a header. Source: POSIX ustar; GNU tar's manual, "Basic Tar Format".
struct TarHeader {
    static let blockSize = 512

    let bytes: [UInt8]
    enum Flavour { case v7, ustar, gnu }
    let flavour: Flavour

    /// nil for a block of zeros.
    ///
    /// - Throws: `dataLoss` for a wrong checksum.
    init?(_ block: [UInt8]) throws {
        if block.allSatisfy({ $0 == 0 }) { return nil }
        bytes = block
        flavour =
            block[257..<263].elementsEqual("ustar\0".utf8)
            ? .ustar : block[257..<263].elementsEqual("ustar ".utf8) ? .gnu : .v7
        let stated = try number(148, 8, "checksum")
        var unsigned: Int64 = 0
        var signed: Int64 = 0
        for (index, byte) in block.enumerated() {
            let value = (148..<156).contains(index) ? UInt8(ascii: " ") : byte
            unsigned += Int64(value)
            signed += Int64(Int8(bitPattern: value))
        }
        // Some old writers summed signed bytes.
        guard stated == unsigned || stated == signed else { throw TarHeader.wrong("a header's checksum is wrong") }
    }

    static func wrong(_ what: String) -> BerthError { BerthError(.dataLoss, "read tar: \(what)") }

    var type: UInt8 { bytes[156] }

    /// A name: up to the first NUL or the field's end.
    func text(_ offset: Int, _ length: Int) -> [UInt8] { Array(bytes[offset..<offset + length].prefix { $0 != 0 }) }

    /// The name with ustar's prefix in front of it.
    var name: [UInt8] {
        let name = text(0, 100)
        guard flavour == .ustar else { return name }
        let prefix = text(345, 155)
        return prefix.isEmpty ? name : prefix + [UInt8(ascii: "/")] + name
    }

    /// A number: octal digits, or base 256 if the top bit of the first byte is set.
    func number(_ offset: Int, _ length: Int, _ what: String) throws -> Int64 {
        let field = bytes[offset..<offset + length]
        guard let first = field.first, first & 0x80 == 0 else { return try base256(field, what) }
        var value: Int64 = 0
        let digits = field.drop { $0 == UInt8(ascii: " ") }.prefix { $0 != 0 && $0 != UInt8(ascii: " ") }
        for digit in digits {
            guard (0x30...0x37).contains(digit) else { throw TarHeader.wrong("the \(what) of a header is no number") }
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 8)
            guard !overflow else { throw TarHeader.wrong("the \(what) of a header is too large") }
            value = shifted + Int64(digit - 0x30)
        }
        return value
    }

    private func base256(_ field: ArraySlice<UInt8>, _ what: String) throws -> Int64 {
        let negative = field[field.startIndex] & 0x40 != 0
        var value: Int64 = negative ? -1 : 0
        for (index, byte) in field.enumerated() {
            let part = index == 0 ? (negative ? byte | 0x80 : byte & 0x7f) : byte
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 256)
            guard !overflow else { throw TarHeader.wrong("the \(what) of a header is too large") }
            value = shifted | Int64(part)
        }
        return value
    }

    /// The fixed fields as an entry. Sizes are not yet corrected for sparse files.
    func entry() throws -> TarEntry {
        var entry = TarEntry()
        entry.name = name
        entry.linkName = text(157, 100)
        entry.mode = UInt32(truncatingIfNeeded: try number(100, 8, "mode")) & 0o7777
        entry.uid = try TarHeader.id(number(108, 8, "user"), "user")
        entry.gid = try TarHeader.id(number(116, 8, "group"), "group")
        entry.size = try number(124, 12, "size")
        guard entry.size >= 0 else { throw TarHeader.wrong("a size is negative") }
        entry.modified.seconds = try number(136, 12, "time")
        if flavour != .v7, type == UInt8(ascii: "3") || type == UInt8(ascii: "4") {
            entry.deviceMajor = try TarHeader.id(number(329, 8, "device"), "device")
            entry.deviceMinor = try TarHeader.id(number(337, 8, "device"), "device")
        }
        return entry
    }

    /// A user, group or device number: 32 bits, never wrapped.
    static func id(_ number: Int64, _ what: String) throws -> UInt32 {
        guard let id = UInt32(exactly: number), id != .max else {
            throw wrong("\(number) is no \(what) number")
        }
        return id
    }

    /// The runs of an old GNU sparse header, from `offset` on, and whether an extension block follows.
    func sparseRuns(from offset: Int, count: Int, extended: Int) throws -> (runs: [TarEntry.Segment], more: Bool) {
        var runs: [TarEntry.Segment] = []
        for index in 0..<count {
            let at = offset + index * 24
            guard bytes[at] != 0 else { break }
            let run = TarEntry.Segment(
                offset: try number(at, 12, "sparse map"), length: try number(at + 12, 12, "sparse map"))
            runs.append(run)
        }
        return (runs, bytes[extended] != 0)
    }

    /// A block without a checksum: an extension of an old GNU sparse header.
    init(extension block: [UInt8]) {
        bytes = block
        flavour = .gnu
    }
}
