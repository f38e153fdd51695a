internal import BerthBase
internal import BerthTOML

/// What `PluginConformance` needs to know of a plugin.
extension Plugin {
    /// The services it needs exactly one provider of.
    package var singleNeeds: [String] { needs.filter { $0.arity == .one }.map(\.service) }

    /// The same plugin with a start that throws.
    package func failing(_ message: String) -> Plugin {
        var copy = self
        copy.start = { _ in throw BerthError(.internal, message) }
        return copy
    }

    /// A plugin that starts after another and throws.
    package static func failure(after other: Plugin, _ message: String) -> Plugin {
        var plugin = Plugin("last", provides: ServiceKey<Int>("failure"), config: NoConfig.self) { _ in
            throw BerthError(.internal, message)
        }
        plugin.needs = [Need(service: other.id.service, interface: other.interface, arity: .all)]
        return plugin
    }

    /// What is wrong with its settings and their description; empty if nothing is.
    package func settingsProblems() -> [String] {
        var problems: [String] = []
        do {
            let defaults = try defaultConfig()
            let place = SourcePosition(file: "defaults", line: 1, column: 1)
            let decoded = try Settings(of: self, TOMLNode(.table(TOMLTable()), at: place))
            let lines = defaults.keys.compactMap { key in defaults[key].map { "\(TOMLNode.key(key)) = \($0.text)" } }
            let written = try TOMLParser.parse(lines.joined(separator: "\n"), file: "defaults")
            let again = try Settings(of: self, TOMLNode(.table(written), at: place))
            problems += decoded.differences(to: again).map { "key '\($0)' does not survive being written and read" }
            let described = Set(configKeys.map(\.name))
            problems += defaults.keys.filter { !described.contains($0) }.map { "key '\($0)' has no ConfigKey" }
            problems += described.filter { defaults[$0] == nil && !takes($0) }.sorted()
                .map { "ConfigKey '\($0)' is no key of its settings" }
        } catch { problems.append("the defaults are refused: \(error)") }
        for key in configKeys {
            if key.summary.isEmpty { problems.append("key '\(key.name)' has no sentence") }
            if key.summary.hasSuffix(".") { problems.append("the sentence of '\(key.name)' ends with a full stop") }
        }
        return problems
    }

    /// Whether a key that is absent by default is known: a wrong value must be refused for another reason.
    private func takes(_ key: String) -> Bool {
        let place = SourcePosition(file: "defaults", line: 1, column: 1)
        var table = TOMLTable()
        table[key] = TOMLNode(.date("1979-05-27"), at: place)
        do {
            _ = try Settings(of: self, TOMLNode(.table(table), at: place))
            return true
        } catch { return !"\(error)".contains("unknown key") }
    }
}
