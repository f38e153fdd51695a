internal import BerthBase
internal import Glibc
internal import Logging

/// Writes one line a message to standard error, for people or as JSON.
struct LineLogHandler: LogHandler {
    private let levels: LogLevels
    private let isJSON: Bool
    private let descriptor: Int32
    /// A level that a logger was given for itself.
    private var ownLevel: Logger.Level?
    private var plugin: String?
    var metadata: Logger.Metadata = [:] { didSet { plugin = metadata["plugin"].map { "\($0)" } } }

    init(_ levels: LogLevels, json: Bool, to descriptor: Int32 = 2) {
        self.levels = levels
        isJSON = json
        self.descriptor = descriptor
    }

    /// Looked up each time, so that a reload reaches every logger.
    var logLevel: Logger.Level {
        get { ownLevel ?? levels.level(of: plugin) }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let line = isJSON ? json(event, all) : text(event, all)
        let bytes = Array(line.utf8) + [10]
        // One write a line: lines of several threads do not mix.
        _ = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }

    private func text(_ event: LogEvent, _ all: Logger.Metadata) -> String {
        let fields = all.sorted { $0.key < $1.key }.map { key, value in
            let text = "\(value)"
            let isPlain = !text.isEmpty && !text.contains { $0 == " " || $0 == "=" || $0 == "\"" }
            return isPlain ? "\(key)=\(escaped(text))" : "\(key)=\"\(escaped(text))\""
        }
        let level = "\(event.level)".uppercased()
        return ([Timestamp.now().rfc3339, level, escaped("\(event.message)", quotes: false)] + fields).joined(
            separator: " ")
    }

    /// A line break or another control character in a value must not look like a line of ours.
    private func escaped(_ text: String, quotes: Bool = true) -> String {
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": out.append(contentsOf: "\\n".unicodeScalars)
            case "\r": out.append(contentsOf: "\\r".unicodeScalars)
            case "\\" where quotes: out.append(contentsOf: "\\\\".unicodeScalars)
            case "\"" where quotes: out.append(contentsOf: "\\\"".unicodeScalars)
            case let other where other.value < 0x20 || other.value == 0x7f:
                let digits = String(other.value, radix: 16)
                out.append(contentsOf: "\\x\(digits.count < 2 ? "0" : "")\(digits)".unicodeScalars)
            default: out.append(scalar)
            }
        }
        return String(out)
    }

    private func json(_ event: LogEvent, _ all: Logger.Metadata) -> String {
        var fields: [String: JSONValue] = all.mapValues { .string("\($0)") }
        fields["time"] = .string(Timestamp.now().rfc3339)
        fields["level"] = .string("\(event.level)")
        fields["msg"] = .string("\(event.message)")
        return String(decoding: JSONValue.object(fields).encoded(), as: UTF8.self)
    }
}
