internal import BerthTOML

/// Which plugins start, in which order: pure, so that `berthd plugins` and the kernel see the same.
package struct PluginGraph: Sendable {
    /// The plugins to start, each after everything it needs; ties are broken by ID.
    package let order: [Plugin]
    /// The IDs of the plugins each one needs, as they were resolved.
    package let edges: [PluginID: [PluginID]]

    /// What is wrong, and with which enabled plugin.
    struct Problem: Sendable {
        var plugin: String?
        var message: String
    }
    /// Everything that is wrong with a set of enabled plugins.
    struct Problems: Error {
        var all: [Problem]
    }

    /// Resolves the enabled plugins.
    ///
    /// - Throws: `Problems` with everything that is wrong at once.
    init(plugins: [Plugin], enabled: [String]) throws {
        var problems = Self.duplicates(plugins) + Self.clashes(plugins)
        let known = Dictionary(plugins.map { ($0.id.description, $0) }, uniquingKeysWith: { first, _ in first })
        var seen: Set<String> = []
        for name in enabled {
            if !seen.insert(name).inserted {
                problems.append(Problem(plugin: name, message: "plugin '\(name)' is enabled twice"))
            } else if known[name] == nil {
                problems.append(
                    Problem(plugin: name, message: "there is no plugin '\(name)'\(suggestion(name, known.keys))"))
            }
        }
        let chosen = seen.compactMap { known[$0] }.sorted { $0.id < $1.id }
        let providers = Dictionary(grouping: chosen, by: \.id.service)
        var edges: [PluginID: [PluginID]] = [:]
        for plugin in chosen {
            for need in plugin.needs {
                let found = providers[need.service, default: []]
                edges[plugin.id, default: []] += found.map(\.id).filter { !edges[plugin.id, default: []].contains($0) }
                if let message = Self.check(need, of: plugin, found: found, all: plugins) {
                    problems.append(Problem(plugin: plugin.id.description, message: message))
                }
            }
        }
        let (order, cycles) = Self.sort(chosen, edges)
        for cycle in cycles {
            let path = cycle.map(\.description).joined(separator: " → ")
            problems.append(
                Problem(plugin: cycle.first?.description, message: "plugins need each other in a circle: \(path)"))
        }
        guard problems.isEmpty else { throw Problems(all: problems) }
        self.order = order
        self.edges = edges
    }

    private static func duplicates(_ plugins: [Plugin]) -> [Problem] {
        Dictionary(grouping: plugins, by: \.id).filter { $0.value.count > 1 }.keys.sorted()
            .map { Problem(message: "plugin '\($0)' is registered twice") }
    }

    private static func clashes(_ plugins: [Plugin]) -> [Problem] {
        var users: [String: [ObjectIdentifier: Set<PluginID>]] = [:]
        for plugin in plugins {
            users[plugin.id.service, default: [:]][plugin.interface, default: []].insert(plugin.id)
            for need in plugin.needs {
                users[need.service, default: [:]][need.interface, default: []].insert(plugin.id)
            }
        }
        return users.filter { $0.value.count > 1 }.sorted { $0.key < $1.key }.map { name, kinds in
            let groups = kinds.values.map { $0.sorted().map { "'\($0)'" }.joined(separator: ", ") }.sorted()
            return Problem(
                message:
                    "service key '\(name)' names two interfaces: one of \(groups.joined(separator: ", another of "))")
        }
    }

    private static func check(_ need: Plugin.Need, of plugin: Plugin, found: [Plugin], all: [Plugin]) -> String? {
        if need.arity == .all { return nil }
        if found.count > 1 {
            let names = found.map { "'\($0.id)'" }.joined(separator: " and ")
            return "plugin '\(plugin.id)' needs one '\(need.service)', but \(names) are enabled; enable one of them"
        }
        guard found.isEmpty, need.arity == .one else { return nil }
        let possible = all.filter { $0.id.service == need.service }.map { "'\($0.id)'" }.sorted()
        let hint = possible.isEmpty ? "no plugin provides it" : "enable \(possible.joined(separator: " or "))"
        return "plugin '\(plugin.id)' needs '\(need.service)': \(hint)"
    }

    /// The order, and each cycle as a path that ends where it began.
    private static func sort(_ plugins: [Plugin], _ edges: [PluginID: [PluginID]]) -> ([Plugin], [[PluginID]]) {
        var order: [Plugin] = []
        var cycles: [[PluginID]] = []
        var done: Set<PluginID> = []
        var rest = plugins
        while !rest.isEmpty {
            if let index = rest.firstIndex(where: { edges[$0.id, default: []].allSatisfy(done.contains) }) {
                let next = rest.remove(at: index)
                done.insert(next.id)
                order.append(next)
            } else {
                let cycle = cycle(from: rest[0].id, edges, done)
                cycles.append(cycle)
                // As if the circle were mended, so that others are found too.
                done.formUnion(cycle)
                rest.removeAll { done.contains($0.id) }
            }
        }
        return (order, cycles)
    }

    /// Follows needs that are not met until one comes a second time; every plugin here has one.
    private static func cycle(from start: PluginID, _ edges: [PluginID: [PluginID]], _ done: Set<PluginID>)
        -> [PluginID]
    {
        var path: [PluginID] = []
        var next: PluginID? = start
        while let id = next {
            if let first = path.firstIndex(of: id) { return rotated(Array(path[first...])) }
            path.append(id)
            next = edges[id, default: []].first { !done.contains($0) }
        }
        return path
    }

    /// The circle written from its first ID in order, which is the same wherever the search began.
    private static func rotated(_ circle: [PluginID]) -> [PluginID] {
        guard let first = circle.min(), let index = circle.firstIndex(of: first) else { return circle }
        return Array(circle[index...] + circle[..<index]) + [first]
    }
}

/// `; did you mean 'x'?`, or nothing.
func suggestion(_ name: String, _ known: some Sequence<String>) -> String {
    nearest(to: name, among: known).map { "; did you mean '\($0)'?" } ?? ""
}
