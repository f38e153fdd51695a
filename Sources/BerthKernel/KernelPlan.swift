internal import BerthTOML

/// What a configuration would start: everything that can be known before a start.
package struct KernelPlan: Sendable {
    /// The order and the edges.
    package let graph: PluginGraph
    /// Every registered plugin's settings.
    package let settings: [PluginID: Settings]

    /// The plugin that stands for the kernel itself.
    static let kernelID = PluginID(service: "kernel", name: "registry")

    /// Checks the graph and every plugin's configuration without starting anything.
    ///
    /// - Throws: `KernelProblems` with all of it at once, each with `file:line:column` where there is one.
    package init(plugins: [Plugin], configuration: Configuration) throws {
        var problems: [(place: SourcePosition?, message: String)] = []
        let kernel = Plugin("registry", provides: .kernel, config: NoConfig.self) { _ in StatusBoard() }
        var graph: PluginGraph?
        do {
            graph = try PluginGraph(
                plugins: plugins + [kernel], enabled: configuration.enable + [kernel.id.description])
        } catch let found as PluginGraph.Problems {
            problems += found.all.map { problem in
                (problem.plugin.flatMap { configuration.place(of: $0, in: "enable") }, problem.message)
            }
        }
        let known = Set(plugins.map(\.id.description))
        for (name, node) in configuration.plugins where !known.contains(name) {
            problems.append((node.position, "there is no plugin '\(name)'\(suggestion(name, known))"))
        }
        for name in configuration.log.plugins.keys where !known.contains(name) && name != kernel.id.description {
            let place = configuration.place(of: "log", "plugins", name)
            problems.append((place, "'log.plugins': there is no plugin '\(name)'\(suggestion(name, known))"))
        }
        var settings: [PluginID: Settings] = [:]
        for plugin in plugins + [kernel] {
            do { settings[plugin.id] = try Settings(of: plugin, configuration.plugins[plugin.id.description]) } catch {
                guard let found = error as? TOMLProblems else { throw error }
                problems += found.all.map { ($0.position, $0.message) }
            }
        }
        guard problems.isEmpty, let graph else { throw KernelProblems(problems) }
        self.graph = graph
        self.settings = settings
    }
}

/// Everything that keeps a daemon from starting.
package struct KernelProblems: Error, Sendable, CustomStringConvertible {
    /// One line each, those without a place first, then in the order of the file.
    package let all: [String]

    init(_ problems: [(place: SourcePosition?, message: String)]) {
        let nowhere = problems.filter { $0.place == nil }.map(\.message).sorted()
        let placed = problems.compactMap { problem in problem.place.map { TOMLProblem($0, problem.message) } }
        let inOrder = placed.sorted { ($0.position, $0.message) < ($1.position, $1.message) }
        all = nowhere + inOrder.map(\.description)
    }

    /// One line each.
    package var description: String { all.joined(separator: "\n") }
}
