internal import BerthBase
internal import BerthKernel
internal import Logging

/// The levels in force, replaced by a reload: loggers that exist follow.
final class LogLevels: Sendable {
    private let settings: Shared<LogSettings>

    init(_ settings: LogSettings) { self.settings = Shared(settings) }

    func replace(with new: LogSettings) { settings.withLock { $0 = new } }

    /// The level of a plugin's lines, or of the daemon's own for nil.
    func level(of plugin: String?) -> Logger.Level {
        let level = settings.withLock { settings in
            plugin.flatMap { settings.plugins[$0] } ?? settings.level
        }
        return Logger.Level(rawValue: level.rawValue) ?? .info
    }
}
