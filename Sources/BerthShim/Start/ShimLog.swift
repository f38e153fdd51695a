internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The shim's own words, in the bundle's `log`: a FIFO that the daemon reads, or a file.
///
/// A daemon that does not read costs lines, never a wait.
final class ShimLog {
    enum Level: String { case info, warning, error }

    private let file: OwnedBox?

    /// Opens `log` in a bundle if the daemon made one.
    init(bundle: String) {
        // For both: a FIFO then needs no reader, and outlives one.
        guard let opened = try? Files.open("\(bundle)/log", O_RDWR | O_NONBLOCK | O_APPEND) else {
            file = nil
            return
        }
        let box = OwnedBox(opened)
        file = box
        // What the language's runtime says before it gives up goes there, too.
        dup2(box.number, 2)
    }

    func write(_ level: Level, _ message: String) {
        guard let file else { return }
        var escaped = ""
        for character in message.unicodeScalars {
            switch character {
            case "\"": escaped += "\\\""
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(character)
            }
        }
        let line = "time=\"\(Timestamp.now().rfc3339)\" level=\(level.rawValue) msg=\"\(escaped)\"\n"
        _ = try? Files.write(Array(line.utf8), to: file.number)
    }
}

/// The shim's version.
enum ShimVersion {
    static let current = "0.1.0"
}
