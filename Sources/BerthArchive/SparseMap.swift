/// Checks and reads the maps of sparse files. Source: GNU tar's manual, "Storing Sparse Files".
enum SparseMap {
    /// The most runs one file may have: 1 MiB of map at 16 bytes a run.
    static let maxRuns = 65536

    /// The map of format 0.1: `offset,length,offset,length`.
    static func parse(commas value: [UInt8]) throws -> [TarEntry.Segment] {
        let parts = value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard parts.count.isMultiple(of: 2), parts.count <= 2 * maxRuns else {
            throw wrong("has an odd number of fields")
        }
        let numbers = try parts.map { try PAXRecords.number(Array($0), "GNU.sparse.map") }
        return stride(from: 0, to: numbers.count, by: 2).map {
            TarEntry.Segment(offset: numbers[$0], length: numbers[$0 + 1])
        }
    }

    /// The map of format 1.0 if all of it is in `bytes`, with the number of bytes it takes; nil if more are needed.
    static func parse(lines bytes: [UInt8]) throws -> (runs: [TarEntry.Segment], length: Int)? {
        var at = 0
        func line() throws -> Int64? {
            guard let end = bytes[at...].firstIndex(of: 0x0a) else {
                guard bytes.count - at <= 20 else { throw wrong("has a line that is no number") }
                return nil
            }
            defer { at = end + 1 }
            return try PAXRecords.number(Array(bytes[at..<end]), "sparse map")
        }
        guard let count = try line() else { return nil }
        guard count <= maxRuns else { throw wrong("has more than \(maxRuns) runs") }
        var runs: [TarEntry.Segment] = []
        for _ in 0..<count {
            guard let offset = try line(), let length = try line() else { return nil }
            runs.append(TarEntry.Segment(offset: offset, length: length))
        }
        return (runs, (at + 511) / 512 * 512)
    }

    /// How many lines a map of format 1.0 has, by its first line.
    static func lineCount(_ bytes: [UInt8]) throws -> Int {
        let digits = bytes.prefix { $0 != 0x0a }
        guard digits.count < bytes.count else { throw wrong("has a line that is no number") }
        let count = try PAXRecords.number(Array(digits), "sparse map")
        guard count <= maxRuns else { throw wrong("has more than \(maxRuns) runs") }
        return 1 + 2 * Int(count)
    }

    /// - Throws: `dataLoss` unless the runs are in order, within the file, and together as long as what is stored.
    static func check(_ runs: [TarEntry.Segment], size: Int64, stored: Int64) throws {
        guard runs.count <= maxRuns else { throw wrong("has more than \(maxRuns) runs") }
        var end: Int64 = 0
        var total: Int64 = 0
        for run in runs {
            guard run.offset >= end, run.length >= 0, run.length <= size, run.offset <= size - run.length else {
                throw wrong("overlaps or leaves the file")
            }
            end = run.offset + run.length
            total += run.length
        }
        guard total == stored else { throw wrong("does not match the stored size") }
    }

    static func wrong(_ what: String) -> any Error { TarHeader.wrong("a sparse map \(what)") }
}
