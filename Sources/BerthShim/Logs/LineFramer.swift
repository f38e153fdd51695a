/// The stream a line came from, as CRI logs name it.
enum LogStream: String, Sendable, Hashable {
    case stdout, stderr
}

/// Cuts what a process writes into the records of a CRI log: `TIME STREAM TAG LINE`. Pure.
///
/// The tag is `F` for the end of a line and `P` for a part of one. Source: Kubernetes' CRI logging design.
struct LineFramer {
    /// The longest line that is one record; what is longer comes in parts.
    static let maxLineBytes = 16384

    let stream: LogStream
    /// The beginning of a line whose end has not come yet.
    private var pending: [UInt8] = []
    /// Whether the last record was a part of a line.
    private(set) var isMidLine = false

    init(_ stream: LogStream) { self.stream = stream }

    /// Whether everything taken until now was whole lines.
    var isAtLineStart: Bool { pending.isEmpty && !isMidLine }

    /// Appends the records that the bytes complete; `time` is the moment they were read.
    mutating func take(_ bytes: ArraySlice<UInt8>, at time: String, into out: inout [UInt8]) {
        var rest = bytes
        while let newline = rest.firstIndex(of: 0x0a) {
            takePart(rest[..<newline], at: time, into: &out)
            append("F", pending[...], time, &out)
            pending.removeAll(keepingCapacity: false)
            isMidLine = false
            rest = rest[(newline + 1)...]
        }
        takePart(rest, at: time, into: &out)
    }

    /// Adds to the pending line, whose full parts become records.
    private mutating func takePart(_ part: ArraySlice<UInt8>, at time: String, into out: inout [UInt8]) {
        var rest = part
        while pending.count + rest.count > LineFramer.maxLineBytes {
            let room = LineFramer.maxLineBytes - pending.count
            pending += rest.prefix(room)
            rest = rest.dropFirst(room)
            append("P", pending[...], time, &out)
            pending.removeAll(keepingCapacity: true)
            isMidLine = true
        }
        pending += rest
    }

    /// The end of the stream: a line without an end is a part, so that a reader adds no newline of its own.
    mutating func finish(at time: String, into out: inout [UInt8]) {
        guard !pending.isEmpty else { return }
        append("P", pending[...], time, &out)
        pending = []
        isMidLine = true
    }

    private func append(_ tag: StaticString, _ line: ArraySlice<UInt8>, _ time: String, _ out: inout [UInt8]) {
        out.reserveCapacity(out.count + time.utf8.count + line.count + 12)
        out += time.utf8
        out.append(0x20)
        out += stream.rawValue.utf8
        out.append(0x20)
        tag.withUTF8Buffer { out += $0 }
        out.append(0x20)
        out += line
        out.append(0x0a)
    }
}
