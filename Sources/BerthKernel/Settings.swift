internal import BerthTOML

/// A plugin's settings in force: the values, and the table they were decoded from.
package struct Settings: Sendable {
    package let config: any PluginConfig
    /// Defaults with the file's values over them.
    let table: TOMLTable

    /// Decodes and validates what a file says about a plugin.
    ///
    /// - Throws: `TOMLProblems`.
    init(of plugin: Plugin, _ node: TOMLNode?) throws {
        try self.init(of: plugin, table: try Self.whole(plugin, node), at: node?.position ?? Self.nowhere)
    }

    private init(of plugin: Plugin, table: TOMLTable, at position: SourcePosition) throws {
        func decode<Config: PluginConfig>(_ type: Config.Type) throws -> any PluginConfig {
            try TOMLDecoder.decode(type, from: table, at: position, path: "plugin.\(plugin.id)")
        }
        let config = try decode(plugin.config)
        do { try config.validate() } catch {
            throw TOMLProblems([TOMLProblem(position, "plugin '\(plugin.id)': \(error)")])
        }
        self.config = config
        self.table = table
    }

    /// These settings with some keys taken from others.
    func taking(_ keys: [String], from other: Settings, of plugin: Plugin) throws -> Settings {
        var table = self.table
        for key in keys { table[key] = other.table[key] }
        return try Settings(of: plugin, table: table, at: Self.nowhere)
    }

    /// The keys whose values differ.
    func differences(to other: Settings) -> [String] {
        Set(table.keys + other.table.keys).filter { table[$0]?.text != other.table[$0]?.text }.sorted()
    }

    private static let nowhere = SourcePosition(file: "default", line: 0, column: 0)

    private static func whole(_ plugin: Plugin, _ node: TOMLNode?) throws -> TOMLTable {
        let defaults = try plugin.defaultConfig()
        guard let node else { return defaults }
        return try defaults.overlaid(by: node, path: "plugin.\(plugin.id)")
    }
}

/// Decodes `node` with the values of `defaults` for keys that it lacks.
func decodeOver<T: Codable>(_ defaults: T, _ node: TOMLNode, path: String) throws -> T {
    let table = try TOMLEncoder.encode(defaults, at: SourcePosition(file: "default", line: 0, column: 0))
    return try TOMLDecoder.decode(T.self, from: table.overlaid(by: node, path: path), at: node.position, path: path)
}

extension TOMLTable {
    fileprivate func overlaid(by node: TOMLNode, path: String) throws -> TOMLTable {
        guard let table = node.table else {
            throw TOMLProblems([TOMLProblem(node.position, "'\(path)' must be a table, not \(node.kind)")])
        }
        var whole = self
        whole.merge(table)
        return whole
    }
}
