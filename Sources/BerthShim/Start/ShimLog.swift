internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The shim's own words, in the bundle's `log`: a FIFO that the daemon reads, or a file.
///
/// A daemon that does not read costs lines, never a wait.
final class ShimLog {
    enum Level: String { case info, warning, error }

    /// The most bytes of `shim.log`; what would go beyond begins the file anew.
    static let maxBytes = 65536

    private let file: OwnedBox?
    private let isFile: Bool
    private var written = 0

    /// Opens `log` in a bundle if the daemon made one, or else a file `shim.log`.
    init(bundle: String) {
        // For both: a FIFO then needs no reader, and outlives one.
        if let fifo = try? Files.open("\(bundle)/log", O_RDWR | O_NONBLOCK | O_APPEND) {
            (file, isFile) = (OwnedBox(fifo), false)
        } else if let own = try? Files.open("\(bundle)/shim.log", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600) {
            (file, isFile) = (OwnedBox(own), true)
        } else {
            (file, isFile) = (nil, true)
        }
        // What the language's runtime says before it gives up goes there, too.
        if let file { dup2(file.number, 2) }
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
        written += line.utf8.count
        if isFile, written > ShimLog.maxBytes {
            _ = ftruncate(file.number, 0)
            written = line.utf8.count
        }
        _ = try? Files.write(Array(line.utf8), to: file.number)
    }
}

/// The shim's version.
enum ShimVersion {
    static let current = "0.1.0"
}
