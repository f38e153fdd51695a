internal import BerthBase
internal import Glibc
package import Logging

/// Writes one line a message to standard error, for people or as JSON.
package struct LineLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    private let isJSON: Bool

    package init(level: Logger.Level, json: Bool) {
        logLevel = level
        isJSON = json
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let line = isJSON ? json(event, all) : text(event, all)
        let bytes = Array(line.utf8) + [10]
        // One write a line: lines of several threads do not mix.
        _ = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }

    private func text(_ event: LogEvent, _ all: Logger.Metadata) -> String {
        let fields = all.sorted { $0.key < $1.key }.map { key, value in
            let text = "\(value)"
            return text.contains(" ") || text.isEmpty ? "\(key)=\"\(escaped(text))\"" : "\(key)=\(escaped(text))"
        }
        let level = "\(event.level)".uppercased()
        return ([Timestamp.now().rfc3339, level, "\(event.message)"] + fields).joined(separator: " ")
    }

    /// A line break in a value must not look like a line of ours.
    private func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n").replacing("\r", with: "\\r")
    }

    private func json(_ event: LogEvent, _ all: Logger.Metadata) -> String {
        var fields: [String: JSONValue] = all.mapValues { .string("\($0)") }
        fields["time"] = .string(Timestamp.now().rfc3339)
        fields["level"] = .string("\(event.level)")
        fields["msg"] = .string("\(event.message)")
        return String(decoding: JSONValue.object(fields).encoded(), as: UTF8.self)
    }
}
