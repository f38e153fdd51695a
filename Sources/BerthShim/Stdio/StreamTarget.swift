internal import BerthBase

/// Where one standard stream comes from or goes to, as clients of shims name it.
/// Source: containerd's runtime v2 documentation, "Logging".
enum StreamTarget: Hashable, Sendable {
    case null
    /// A FIFO that the client made.
    case fifo(String)
    /// A file that output is appended to.
    case file(String)
    /// A program that gets both outputs as its descriptors 3 and 4.
    case logger(path: String, arguments: [String])
    /// A log in the format that kubelets read.
    case criLog(String)

    /// Reads a path or URI; empty means /dev/null.
    ///
    /// - Throws: `invalidArgument` for another scheme or a relative path.
    init(_ text: String) throws(BerthError) {
        guard !text.isEmpty else {
            self = .null
            return
        }
        guard let mark = text.firstRange(of: "://") else {
            self = .fifo(try StreamTarget.absolute(text[...], text))
            return
        }
        let rest = text[mark.upperBound...]
        switch text[..<mark.lowerBound] {
        case "fifo": self = .fifo(try StreamTarget.path(rest, text))
        case "file": self = .file(try StreamTarget.path(rest, text))
        case "cri": self = .criLog(try StreamTarget.path(rest, text))
        case "binary":
            self = .logger(path: try StreamTarget.path(rest, text), arguments: StreamTarget.query(rest))
        default: throw BerthError(.invalidArgument, "stream '\(text)': the scheme is none of fifo, file, binary, cri")
        }
    }

    private static func absolute(_ path: Substring, _ text: String) throws(BerthError) -> String {
        guard path.first == "/" else {
            throw BerthError(.invalidArgument, "stream '\(text)': the path is not absolute")
        }
        return String(path)
    }

    private static func path(_ rest: Substring, _ text: String) throws(BerthError) -> String {
        try absolute(decoded(rest.prefix { $0 != "?" && $0 != "#" })[...], text)
    }

    /// The words of `?key=value&flag`, in order: each key, and its value if it has one.
    private static func query(_ rest: Substring) -> [String] {
        guard let mark = rest.firstIndex(of: "?") else { return [] }
        var words: [String] = []
        for pair in rest[rest.index(after: mark)...].prefix(while: { $0 != "#" }).split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            words += parts.map { decoded($0) }
        }
        return words
    }

    /// Without `%XX`.
    private static func decoded(_ text: Substring) -> String {
        guard text.contains("%") else { return String(text) }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            let digits = String(Substring(rest.prefix(2)))
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2, let value = UInt8(digits, radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? 0x20 : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The streams of one process as its client named them.
struct StdioRequest: Hashable, Sendable {
    var stdin = ""
    var stdout = ""
    var stderr = ""
    var terminal = false
}

/// Who a process runs as on the host: whom its pipes belong to, so that it can open `/dev/stdout` again.
struct StreamOwner: Hashable, Sendable {
    var uid: UInt32
    var gid: UInt32
}
