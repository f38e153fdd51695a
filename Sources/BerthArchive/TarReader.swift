internal import BerthBase

/// A tar archive as a state machine: bytes go in as they come, members come out. No I/O, no clock.
///
/// Understands v7, ustar, PAX (global headers and `SCHILY.xattr` included), GNU long names and links, base-256
/// numbers, and sparse files in old GNU format and GNU's PAX formats 0.0, 0.1 and 1.0.
package struct TarReader {
    /// The longest PAX header, long name or sparse map.
    package static let maxMetadata: Int64 = 1 << 20

    private enum State {
        /// Collects 512 bytes of a header.
        case header
        /// Collects the payload of a header that describes the next member.
        case metadata(type: UInt8, left: Int64)
        /// Collects extension blocks of an old GNU sparse header.
        case sparseExtension
        /// Collects the map at the beginning of a member in sparse format 1.0.
        case sparseLines
        /// Passes the member's data on.
        case body
        /// Drops bytes up to the next block, then takes the next state.
        case end
    }

    private var state = State.header
    private var block: [UInt8] = []
    private var payload: [UInt8] = []
    /// Bytes to drop before the state goes on.
    private var padding: Int64 = 0
    private var global = PAXRecords()
    private var local: PAXRecords?
    private var longName: [UInt8]?
    private var longLink: [UInt8]?
    private var entry = TarEntry()
    /// Bytes of the member that are still to come from the archive.
    private var stored: Int64 = 0
    private var segments: [TarEntry.Segment] = []
    private var segment = 0
    private var segmentDone: Int64 = 0
    private var sawZeroBlock = false
    /// Lines of a sparse map that have come.
    private var mapLines = 0
    /// Bytes to drop after the data of the member that is being read.
    private var dataPadding: Int64 = 0

    /// Makes a reader at the beginning of an archive.
    package init() { block.reserveCapacity(TarHeader.blockSize) }

    /// Whether the end of the archive was seen; what follows is ignored.
    package var isAtEnd: Bool {
        if case .end = state { return true }
        return false
    }

    /// Reads bytes.
    ///
    /// - Throws: `dataLoss` for what is no tar archive, `resourceExhausted` beyond a limit, and what `consumer` throws.
    package mutating func feed(_ bytes: UnsafeRawBufferPointer, to consumer: inout some TarConsumer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            if padding > 0 {
                let count = Int(min(padding, Int64(rest.count)))
                padding -= Int64(count)
                rest = rest.dropFirst(count)
                continue
            }
            switch state {
            case .header:
                if try collectBlock(&rest) { try header(&consumer) }
            case .metadata(let type, let left):
                try metadata(type, left, &rest)
            case .sparseExtension:
                if try collectBlock(&rest) { try sparseExtension(&consumer) }
            case .sparseLines:
                if try collectBlock(&rest) { try sparseLines(&consumer) }
            case .body:
                try body(&rest, &consumer)
            case .end: return
            }
        }
    }

    /// Says that no more bytes come.
    ///
    /// - Throws: `dataLoss` if the archive is cut off within a member or a header.
    package func finish() throws {
        switch state {
        case .end: return
        case .header where block.isEmpty && padding == 0 && local == nil && longName == nil && longLink == nil: return
        default: throw TarHeader.wrong("the archive is cut off")
        }
    }

    private mutating func collectBlock(_ rest: inout Slice<UnsafeRawBufferPointer>) throws -> Bool {
        let count = min(TarHeader.blockSize - block.count, rest.count)
        block.append(contentsOf: rest.prefix(count))
        rest = rest.dropFirst(count)
        return block.count == TarHeader.blockSize
    }

    private mutating func takeBlock() -> [UInt8] {
        defer { block.removeAll(keepingCapacity: true) }
        return block
    }

    private mutating func header(_ consumer: inout some TarConsumer) throws {
        guard let header = try TarHeader(takeBlock()) else {
            if sawZeroBlock { state = .end }
            sawZeroBlock = true
            return
        }
        guard !sawZeroBlock else { throw TarHeader.wrong("a header follows a block of zeros") }
        switch header.type {
        case UInt8(ascii: "x"), UInt8(ascii: "g"), UInt8(ascii: "L"), UInt8(ascii: "K"):
            let size = try header.number(124, 12, "size")
            guard (0...Self.maxMetadata).contains(size) else {
                throw BerthError(
                    .resourceExhausted, "read tar: a header of \(size) bytes, at most \(Self.maxMetadata) are allowed")
            }
            payload.removeAll()
            state = .metadata(type: header.type, left: size)
            if size == 0 { try finishMetadata(header.type) }
        case UInt8(ascii: "V"):
            padding = Self.padded(try header.number(124, 12, "size"))
        default: try member(header, &consumer)
        }
    }

    private static func padded(_ size: Int64) -> Int64 { (size + 511) / 512 * 512 }

    private mutating func metadata(_ type: UInt8, _ left: Int64, _ rest: inout Slice<UnsafeRawBufferPointer>) throws {
        let count = Int(min(left, Int64(rest.count)))
        payload.append(contentsOf: rest.prefix(count))
        rest = rest.dropFirst(count)
        state = .metadata(type: type, left: left - Int64(count))
        if left == Int64(count) { try finishMetadata(type) }
    }

    private mutating func finishMetadata(_ type: UInt8) throws {
        padding = Self.padded(Int64(payload.count)) - Int64(payload.count)
        state = .header
        switch type {
        case UInt8(ascii: "x"): local = try PAXRecords(parsing: payload)
        case UInt8(ascii: "g"):
            global = global.overlaid(by: try PAXRecords(parsing: payload))
            guard global.values.count + global.attributes.count <= 1024 else {
                throw BerthError(.resourceExhausted, "read tar: more than 1024 global PAX records")
            }
        case UInt8(ascii: "L"): longName = Array(payload.prefix { $0 != 0 })
        default: longLink = Array(payload.prefix { $0 != 0 })
        }
        payload = []
    }
}

// MARK: - Members

extension TarReader {
    private static func kind(of header: TarHeader, name: [UInt8]) throws -> TarEntry.Kind {
        switch header.type {
        case 0, UInt8(ascii: "0"): name.last == UInt8(ascii: "/") ? .directory : .file
        case UInt8(ascii: "7"), UInt8(ascii: "S"): .file
        case UInt8(ascii: "1"): .hardLink
        case UInt8(ascii: "2"): .symlink
        case UInt8(ascii: "3"): .characterDevice
        case UInt8(ascii: "4"): .blockDevice
        case UInt8(ascii: "5"), UInt8(ascii: "D"): .directory
        case UInt8(ascii: "6"): .fifo
        default:
            let text = String(decoding: name.prefix(200), as: UTF8.self)
            throw BerthError(.unimplemented, "read tar: member '\(text)' has unknown type \(header.type)")
        }
    }

    private mutating func member(_ header: TarHeader, _ consumer: inout some TarConsumer) throws {
        entry = try header.entry()
        if let longName { entry.name = longName }
        if let longLink { entry.linkName = longLink }
        let records = local.map { global.overlaid(by: $0) } ?? global
        try records.apply(to: &entry)
        if let size = try records.number("size") { entry.size = size }
        entry.kind = try Self.kind(of: header, name: entry.name)
        (local, longName, longLink) = (nil, nil, nil)
        segments = []
        stored = entry.size
        guard stored <= Int64.max - 1024 else { throw TarHeader.wrong("a size is too large") }
        let hasData = entry.kind == .file || header.type == UInt8(ascii: "D")
        if !hasData {
            // What is no file may state a size (a hard link does), but holds no data.
            (stored, entry.size) = (0, 0)
        }
        padding = 0
        if header.type == UInt8(ascii: "S") { return try oldSparse(header, &consumer) }
        if entry.kind == .file, try paxSparse(records, &consumer) { return }
        try begin(&consumer)
    }

    /// The member's headers are complete.
    private mutating func begin(_ consumer: inout some TarConsumer) throws {
        if entry.kind == .file, entry.segments != nil {
            try SparseMap.check(segments, size: entry.size, stored: stored)
            entry.segments = segments
        } else {
            segments = [TarEntry.Segment(offset: 0, length: stored)]
            if entry.kind == .directory { entry.size = 0 }
        }
        (segment, segmentDone) = (0, 0)
        dataPadding = Self.padded(stored) - stored
        try consumer.begin(entry)
        state = .body
        if stored == 0 { try finishMember(&consumer) }
    }

    private mutating func finishMember(_ consumer: inout some TarConsumer) throws {
        padding = dataPadding
        state = .header
        try consumer.end()
    }

    private mutating func body(_ rest: inout Slice<UnsafeRawBufferPointer>, _ consumer: inout some TarConsumer) throws {
        while segment < segments.count, segmentDone == segments[segment].length {
            (segment, segmentDone) = (segment + 1, 0)
        }
        guard segment < segments.count else { throw TarHeader.wrong("more data than the sparse map says") }
        let run = segments[segment]
        let count = Int(min(run.length - segmentDone, Int64(rest.count)))
        if entry.kind == .file {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(count))
            try consumer.data(piece, at: run.offset + segmentDone)
        }
        rest = rest.dropFirst(count)
        segmentDone += Int64(count)
        stored -= Int64(count)
        if stored == 0 { try finishMember(&consumer) }
    }

    // MARK: Sparse files

    private mutating func oldSparse(_ header: TarHeader, _ consumer: inout some TarConsumer) throws {
        entry.size = try header.number(483, 12, "real size")
        let (runs, more) = try header.sparseRuns(from: 386, count: 4, extended: 482)
        segments = runs
        entry.segments = []
        if more { state = .sparseExtension } else { try begin(&consumer) }
    }

    private mutating func sparseExtension(_ consumer: inout some TarConsumer) throws {
        let (runs, more) = try TarHeader(extension: takeBlock()).sparseRuns(from: 0, count: 21, extended: 504)
        segments += runs
        guard segments.count <= SparseMap.maxRuns else {
            throw SparseMap.wrong("has more than \(SparseMap.maxRuns) runs")
        }
        if !more { try begin(&consumer) }
    }

    /// Whether the records say that the member is sparse; then its beginning is taken care of.
    private mutating func paxSparse(_ records: PAXRecords, _ consumer: inout some TarConsumer) throws -> Bool {
        let major = try records.number("GNU.sparse.major")
        let hasMap = records.text("GNU.sparse.map") != nil || !records.sparse.isEmpty
        guard major == 1 || hasMap || records.text("GNU.sparse.size") != nil else { return false }
        if let name = records.text("GNU.sparse.name") { entry.name = name }
        guard let size = try records.number("GNU.sparse.realsize") ?? records.number("GNU.sparse.size") else {
            throw SparseMap.wrong("comes without the file's size")
        }
        entry.size = size
        entry.segments = []
        if major == 1 {
            (payload, mapLines) = ([], 0)
            state = .sparseLines
            return true
        }
        segments = try records.text("GNU.sparse.map").map(SparseMap.parse(commas:)) ?? records.sparse
        try begin(&consumer)
        return true
    }

    private mutating func sparseLines(_ consumer: inout some TarConsumer) throws {
        stored -= Int64(TarHeader.blockSize)
        mapLines += block.count { $0 == 0x0a }
        payload += takeBlock()
        guard stored >= 0, payload.count <= Self.maxMetadata else { throw SparseMap.wrong("is too long") }
        // Parsed when all its lines are there: parsing at each block would cost the square of its length.
        guard mapLines >= (try SparseMap.lineCount(payload)), let map = try SparseMap.parse(lines: payload) else {
            return
        }
        guard map.length == payload.count else { throw SparseMap.wrong("ends in an odd place") }
        segments = map.runs
        payload = []
        try begin(&consumer)
    }
}
