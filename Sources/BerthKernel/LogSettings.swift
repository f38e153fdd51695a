/// How the daemon logs: `[log]`.
package struct LogSettings: Codable, Sendable, Equatable {
    /// The levels of swift-log.
    package enum Level: String, Codable, Sendable, CaseIterable {
        case trace, debug, info, notice, warning, error, critical
    }
    /// How a line looks.
    package enum Format: String, Codable, Sendable, CaseIterable {
        case text, json
    }
    /// The least level that is written.
    package var level = Level.info
    /// For people or for machines.
    package var format = Format.text
    /// Levels of single plugins, by ID.
    package var plugins: [String: Level] = [:]
    package init() {}
}
