internal import BerthBase
internal import BerthTOML
package import Logging
internal import SystemPackage

/// Starts plugins in the order of their graph, keeps their states, and stops them in reverse.
package actor Kernel {
    /// How long one plugin may take to stop.
    package static let stopDeadline = Duration.seconds(20)

    private let graph: PluginGraph
    private var configuration: Configuration
    private let logger: Logger
    private let levels: @Sendable (PluginID) -> Logger.Level
    private let board = StatusBoard()
    private var running: [String: [(name: String, service: any Sendable)]] = [:]
    private var runtimes: [PluginRuntime] = []
    private var configs: [PluginID: any PluginConfig]

    /// Checks everything that can be known before a start: the graph and every plugin's configuration.
    ///
    /// - Throws: `KernelProblems` with all of it at once.
    package init(
        plugins: [Plugin], configuration: Configuration, logger: Logger,
        levels: @escaping @Sendable (PluginID) -> Logger.Level
    ) throws {
        let plan = try Self.check(plugins: plugins, configuration: configuration)
        graph = plan.graph
        configs = plan.configs
        self.configuration = configuration
        self.logger = logger
        self.levels = levels
    }

    /// What a configuration would start.
    package struct Plan: Sendable {
        package let graph: PluginGraph
        package let configs: [PluginID: any PluginConfig]
    }

    /// Checks plugins and configuration without starting anything.
    package static func check(plugins: [Plugin], configuration: Configuration) throws -> Plan {
        var problems: [String] = []
        var configs: [PluginID: any PluginConfig] = [:]
        let kernel = Plugin("registry", provides: .kernel, config: NoConfig.self) { _ in StatusBoard() }
        let all = plugins + [kernel]
        var graph: PluginGraph?
        do { graph = try PluginGraph(plugins: all, enabled: configuration.enable + [kernel.id.description]) } catch {
            problems += (error as? GraphProblems)?.all ?? ["\(error)"]
        }
        let known = Dictionary(plugins.map { ($0.id.description, $0) }, uniquingKeysWith: { first, _ in first })
        for (name, node) in configuration.plugins.sorted(by: { $0.key < $1.key }) where known[name] == nil {
            let hint = nearest(to: name, among: known.keys).map { "; did you mean '\($0)'?" } ?? ""
            problems.append("\(node.position): there is no plugin '\(name)'\(hint)")
        }
        for plugin in plugins {
            do { configs[plugin.id] = try decode(plugin, configuration) } catch {
                let listed = (error as? TOMLProblems)?.all.map(\.description) ?? (error as? KernelProblems)?.all
                problems += listed ?? ["\(error)"]
            }
        }
        configs[kernel.id] = NoConfig()
        guard problems.isEmpty, let graph else { throw KernelProblems(all: problems) }
        return Plan(graph: graph, configs: configs)
    }

    private static func decode(_ plugin: Plugin, _ configuration: Configuration) throws -> any PluginConfig {
        let config = try open(plugin.config, configuration.plugins[plugin.id.description], plugin.id)
        do { try config.validate() } catch {
            let place = configuration.plugins[plugin.id.description]?.position
            throw KernelProblems(all: ["\(place.map { "\($0): " } ?? "")plugin '\(plugin.id)': \(error)"])
        }
        return config
    }

    private static func open<Config: PluginConfig>(
        _ type: Config.Type, _ node: TOMLNode?, _ id: PluginID
    ) throws -> any PluginConfig {
        guard let node else { return Config() }
        return try decodeOver(Config(), node, path: "plugin.\(id)")
    }

    /// The plugins and their states.
    package nonisolated var view: any KernelView { board }

    /// Starts every plugin. What has started is stopped again when a required one cannot run.
    ///
    /// - Throws: `failedPrecondition` naming each required plugin that does not run, and why.
    package func start() async throws {
        let clock = ContinuousClock()
        let begin = clock.now
        for plugin in graph.order { await start(plugin, clock) }
        let missing = board.plugins().filter { $0.isRequired && !$0.state.isRunning }
        guard missing.isEmpty else {
            await stop()
            let words = missing.map { "'\($0.id)' is \($0.state)" }.joined(separator: "; ")
            throw BerthError(.failedPrecondition, "a required plugin does not run: \(words)")
        }
        for runtime in runtimes { runtime.goLive() }
        board.finish(after: clock.now - begin)
    }

    private func start(_ plugin: Plugin, _ clock: ContinuousClock) async {
        let id = plugin.id
        board.enroll(
            PluginReport(
                id: id, state: .starting, requires: graph.edges[id, default: []], startTime: .zero,
                isRequired: configuration.required.contains(id.description), background: []))
        if let need = plugin.needs.first(where: { !$0.isAll && !$0.isOptional && running[$0.service] == nil }) {
            board.set(id, .blocked(by: "'\(need.service)', which does not run"))
            return
        }
        var logger = self.logger
        logger[metadataKey: "plugin"] = "\(id)"
        logger.logLevel = levels(id)
        let runtime = PluginRuntime(id: id, board: board, logger: logger)
        let begin = clock.now
        do {
            let service = id.service == "kernel" ? board : try await instance(of: plugin, logger, runtime)
            running[id.service, default: []].append((id.name, service))
            runtimes.append(runtime)
            let time = clock.now - begin
            board.change(id) {
                $0.startTime = time
                $0.state = .running
            }
        } catch {
            await runtime.stop(within: Self.stopDeadline)
            if let skipped = error as? PluginSkipped {
                board.set(id, .skipped(skipped.reason))
                logger.notice("plugin skipped", metadata: ["reason": "\(skipped.reason)"])
            } else {
                board.set(id, .failed("\(error)"))
                logger.error("plugin failed to start", metadata: ["error": "\(error)"])
            }
        }
    }

    private func instance(of plugin: Plugin, _ logger: Logger, _ runtime: PluginRuntime) async throws -> any Sendable {
        guard let config = configs[plugin.id] else { throw Unresolved(service: plugin.id.description) }
        let root = configuration.root.appending(plugin.id.description)
        let state = configuration.state.appending(plugin.id.description)
        try await Blocking.run {
            try PrivateFolder.make(root, mode: 0o700)
            try PrivateFolder.make(state, mode: 0o711)
        }
        let running = self.running
        return try await plugin.start(
            Plugin.StartInput(
                config: config, root: root, state: state, logger: logger, lifecycle: runtime,
                running: { running[$0, default: []] }))
    }

    /// Stops everything in reverse order. A second call does nothing.
    package func stop() async {
        let all = runtimes
        runtimes = []
        running = [:]
        for runtime in all.reversed() {
            board.set(runtime.id, .stopping)
            await runtime.stop(within: Self.stopDeadline)
            board.set(runtime.id, .stopped)
        }
    }

    /// Compares a file read again with the running one: which keys differ, and whether each needs a restart.
    package func differences(to new: Configuration) -> [(key: String, applies: Bool)] {
        var found: [(key: String, applies: Bool)] = []
        if new.enable != configuration.enable { found.append(("enable", false)) }
        if new.required != configuration.required { found.append(("required", false)) }
        if new.root != configuration.root { found.append(("root", false)) }
        if new.state != configuration.state { found.append(("state", false)) }
        if new.log != configuration.log { found.append(("log", true)) }
        for plugin in graph.order {
            let id = plugin.id.description
            let before = configuration.plugins[id]?.table
            let after = new.plugins[id]?.table
            for key in Set((before?.keys ?? []) + (after?.keys ?? [])).sorted()
            where before?[key]?.text != after?[key]?.text {
                found.append(("plugin.\(id).\(key)", false))
            }
        }
        return found
    }
}

/// Everything that keeps a daemon from starting.
package struct KernelProblems: Error, Sendable, CustomStringConvertible {
    package var all: [String]
    /// One line each.
    package var description: String { all.joined(separator: "\n") }
}
