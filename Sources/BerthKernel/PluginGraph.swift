/// Which plugins start, in which order: pure, so that `berthd plugins` and the kernel see the same.
package struct PluginGraph: Sendable {
    /// The plugins to start, each after everything it needs; ties are broken by ID.
    package let order: [Plugin]
    /// The IDs of the plugins each one needs, as they were resolved.
    package let edges: [PluginID: [PluginID]]

    /// Resolves the enabled plugins.
    ///
    /// - Throws: `GraphProblems` with everything that is wrong at once.
    package init(plugins: [Plugin], enabled: [String]) throws {
        var problems = Self.duplicates(plugins) + Self.clashes(plugins)
        let known = Dictionary(plugins.map { ($0.id.description, $0) }, uniquingKeysWith: { first, _ in first })
        for name in enabled where known[name] == nil {
            let hint = Self.suggestion(name, known.keys)
            problems.append("enable: there is no plugin '\(name)'\(hint)")
        }
        var seen: Set<String> = []
        for name in enabled where !seen.insert(name).inserted {
            problems.append("enable: plugin '\(name)' is listed twice")
        }
        let chosen = Set(enabled).compactMap { known[$0] }.sorted { $0.id < $1.id }
        let providers = Dictionary(grouping: chosen, by: \.id.service)
        var edges: [PluginID: [PluginID]] = [:]
        for plugin in chosen {
            for need in plugin.needs {
                let found = providers[need.service, default: []]
                edges[plugin.id, default: []] += found.map(\.id)
                problems += Self.check(need, of: plugin, found: found, all: plugins)
            }
        }
        let (order, cycle) = Self.sort(chosen, edges)
        if let cycle {
            problems.append("a cycle: \(cycle.map(\.description).joined(separator: " → "))")
        }
        guard problems.isEmpty else { throw GraphProblems(all: problems) }
        self.order = order
        self.edges = edges
    }

    private static func duplicates(_ plugins: [Plugin]) -> [String] {
        Dictionary(grouping: plugins, by: \.id).filter { $0.value.count > 1 }.keys.sorted()
            .map { "plugin '\($0)' is registered twice" }
    }

    private static func clashes(_ plugins: [Plugin]) -> [String] {
        var kinds: [String: Set<ObjectIdentifier>] = [:]
        for plugin in plugins {
            kinds[plugin.id.service, default: []].insert(plugin.interface)
            for need in plugin.needs { kinds[need.service, default: []].insert(need.interface) }
        }
        return kinds.filter { $0.value.count > 1 }.keys.sorted()
            .map { "service key '\($0)' names two different interfaces" }
    }

    private static func check(_ need: Plugin.Need, of plugin: Plugin, found: [Plugin], all: [Plugin]) -> [String] {
        if need.isAll { return [] }
        if found.count > 1 {
            let names = found.map { "'\($0.id)'" }.joined(separator: " and ")
            return ["plugin '\(plugin.id)' needs one '\(need.service)', but \(names) are enabled; enable one of them"]
        }
        if found.isEmpty && !need.isOptional {
            let possible = all.filter { $0.id.service == need.service }.map { "'\($0.id)'" }.sorted()
            let hint = possible.isEmpty ? "no plugin provides it" : "enable \(possible.joined(separator: " or "))"
            return ["plugin '\(plugin.id)' needs '\(need.service)': \(hint)"]
        }
        return []
    }

    private static func suggestion(_ name: String, _ known: some Sequence<String>) -> String {
        nearestName(name, known).map { "; did you mean '\($0)'?" } ?? ""
    }

    /// The order, or a cycle as a path that ends where it began.
    private static func sort(_ plugins: [Plugin], _ edges: [PluginID: [PluginID]]) -> ([Plugin], [PluginID]?) {
        var order: [Plugin] = []
        var done: Set<PluginID> = []
        var rest = plugins
        while let index = rest.firstIndex(where: { edges[$0.id, default: []].allSatisfy(done.contains) }) {
            let next = rest.remove(at: index)
            done.insert(next.id)
            order.append(next)
        }
        guard let start = rest.first?.id else { return (order, nil) }
        var path = [start]
        while let next = edges[path[path.count - 1], default: []].first(where: { !done.contains($0) }) {
            if let first = path.firstIndex(of: next) { return (order, Array(path[first...]) + [next]) }
            path.append(next)
        }
        return (order, path)
    }
}

/// Everything that is wrong with a set of enabled plugins.
package struct GraphProblems: Error, Sendable, CustomStringConvertible {
    package var all: [String]
    /// One line each.
    package var description: String { all.joined(separator: "\n") }
}
