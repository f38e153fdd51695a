internal import BerthBase

/// One line of a log as CRI writes it: `TIME STREAM TAGS TEXT`.
///
/// Source: Kubernetes, "CRI container log format". The tag `P` marks a part of a line that goes on in the next one of
/// its stream, `F` the last or only part.
struct LogLine: Equatable {
    var time: Substring
    var isError: Bool
    var isPartial: Bool
    var text: [UInt8]

    /// - Parameter line: without its line feed. Nil for one that is not of this form.
    init?(_ line: ArraySlice<UInt8>) {
        let parts = line.split(separator: 0x20, maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        let stream = String(decoding: parts[1], as: UTF8.self)
        guard stream == "stdout" || stream == "stderr" else { return nil }
        time = Substring(decoding: parts[0], as: UTF8.self)
        isError = stream == "stderr"
        isPartial = String(decoding: parts[2], as: UTF8.self).split(separator: ":").first == "P"
        text = Array(parts[3])
    }
}

/// Pure: bytes of a log file in, lines out; what is left waits for the rest of its line.
struct LogParser {
    /// A longer line is given out in pieces; the shim writes none longer than 16 KiB.
    static let maxLine = 1 << 20

    private var rest: [UInt8] = []

    /// The whole lines that `bytes` complete.
    mutating func feed(_ bytes: [UInt8]) -> [LogLine] {
        var lines: [LogLine] = []
        rest += bytes
        var start = rest.startIndex
        while let end = rest[start...].firstIndex(of: 0x0a) {
            if let line = LogLine(rest[start..<end]) { lines.append(line) }
            start = end + 1
        }
        rest.removeSubrange(..<start)
        if rest.count > Self.maxLine {
            if let line = LogLine(rest[...]) { lines.append(line) }
            rest = []
        }
        return lines
    }
}

/// Pure: lines in, what a client prints out, joined by stream.
struct LogPrinter {
    let timestamps: Bool
    /// Streams in the middle of a line, which get no second time.
    private var isOpen: [Bool: Bool] = [:]

    init(timestamps: Bool) { self.timestamps = timestamps }

    /// Neighbouring lines of one stream as one piece.
    mutating func pieces(of lines: [LogLine]) -> [(isError: Bool, bytes: [UInt8])] {
        var pieces: [(isError: Bool, bytes: [UInt8])] = []
        for line in lines {
            var bytes: [UInt8] = []
            if timestamps, isOpen[line.isError] != true { bytes += Array(line.time.utf8) + [0x20] }
            bytes += line.text
            if !line.isPartial { bytes.append(0x0a) }
            isOpen[line.isError] = line.isPartial
            if let last = pieces.indices.last, pieces[last].isError == line.isError {
                pieces[last].bytes += bytes
            } else {
                pieces.append((line.isError, bytes))
            }
        }
        return pieces
    }
}
