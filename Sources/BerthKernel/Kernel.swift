internal import BerthBase
package import Logging
internal import SystemPackage

/// Starts plugins in the order of their graph, keeps their states, and stops them in reverse.
package actor Kernel {
    /// The times that the kernel waits.
    package struct Patience: Sendable {
        /// How long one plugin may take to stop.
        package var stop = Duration.seconds(20)
        /// How long all may take to stop; a service manager's limit is usually 90 seconds.
        package var stopAll = Duration.seconds(60)
        /// After how long a plugin that still starts is named in the log.
        package var slowStart = Duration.seconds(10)
        package init() {}
    }

    private let graph: PluginGraph
    private let configuration: Configuration
    private let logger: Logger
    private let patience: Patience
    private let board: StatusBoard
    private var settings: [PluginID: Settings]
    private var running: [String: [(name: String, service: any Sendable)]] = [:]
    private var runtimes: [PluginRuntime] = []

    /// Checks everything that can be known before a start: the graph and every plugin's configuration.
    ///
    /// - Throws: `KernelProblems` with all of it at once.
    package init(
        plugins: [Plugin], configuration: Configuration, logger: Logger, patience: Patience = Patience(),
        versions: @escaping @Sendable () -> [String: String] = { [:] }
    ) throws {
        board = StatusBoard(versions: versions)
        let plan = try KernelPlan(plugins: plugins, configuration: configuration)
        graph = plan.graph
        settings = plan.settings
        self.configuration = configuration
        self.logger = logger
        self.patience = patience
    }

    /// The plugins and their states.
    package nonisolated var view: any KernelView { board }

    /// Starts every plugin. What has started is stopped again when a required one cannot run, or when the calling
    /// task is cancelled.
    ///
    /// - Throws: `failedPrecondition` naming each required plugin that does not run, and why; `cancelled`.
    package func start() async throws {
        let begin = ContinuousClock.now
        for plugin in graph.order {
            if Task.isCancelled { break }
            await start(plugin)
        }
        let missing = board.plugins().filter { $0.isRequired && !$0.state.isRunning }
        guard missing.isEmpty && !Task.isCancelled else {
            let wasCancelled = Task.isCancelled
            await stop()
            if wasCancelled { throw BerthError(.cancelled, "start the plugins: asked to stop") }
            let words = missing.map { "'\($0.id)' is \($0.state)" }.joined(separator: "; ")
            throw BerthError(.failedPrecondition, "a required plugin does not run: \(words)")
        }
        for runtime in runtimes { runtime.goLive() }
        board.finish(after: .now - begin)
    }

    private func start(_ plugin: Plugin) async {
        let id = plugin.id
        let edges = graph.edges[id, default: []]
        board.enroll(
            PluginReport(
                id: id, state: .starting, requires: edges, startTime: .zero,
                isRequired: configuration.required.contains(id.description), background: []))
        if let need = plugin.needs.first(where: { $0.arity == .one && running[$0.service] == nil }) {
            let provider = edges.first { $0.service == need.service }.flatMap { board.report($0) }
            board.set(id, .blocked(by: provider.map { "'\($0.id)', which is \($0.state.name)" } ?? "'\(need.service)'"))
            return
        }
        var logger = self.logger
        logger[metadataKey: "plugin"] = "\(id)"
        let runtime = PluginRuntime(id: id, board: board, logger: logger)
        let begin = ContinuousClock.now
        let slow = warnWhenSlow(logger)
        defer { slow.cancel() }
        do {
            let service = try await instance(of: plugin, logger, runtime)
            running[id.service, default: []].append((id.name, service))
            runtimes.append(runtime)
            runtime.started(after: .now - begin)
        } catch {
            _ = await runtime.stop(within: patience.stop)
            if let skipped = error as? PluginSkipped {
                board.set(id, .skipped(skipped.reason))
                logger.notice("plugin skipped", metadata: ["reason": "\(skipped.reason)"])
            } else {
                board.set(id, .failed("\(error)"))
                logger.error("plugin failed to start", metadata: ["error": "\(error)"])
            }
        }
    }

    private func warnWhenSlow(_ logger: Logger) -> Task<Void, Never> {
        let patience = patience.slowStart
        return Task {
            guard (try? await Task.sleep(for: patience)) != nil else { return }
            logger.warning("plugin is still starting", metadata: ["after": "\(patience)"])
        }
    }

    private func instance(of plugin: Plugin, _ logger: Logger, _ runtime: PluginRuntime) async throws -> any Sendable {
        if plugin.id == KernelPlan.kernelID { return board }
        guard let config = settings[plugin.id]?.config else { throw Unresolved(service: plugin.id.description) }
        let root = configuration.root.appending(plugin.id.description)
        let state = configuration.state.appending(plugin.id.description)
        let stateMode: UInt32 = plugin.opensState ? 0o711 : 0o700
        try await Blocking.run {
            try PrivateFolder.make(root, mode: 0o700)
            try PrivateFolder.make(state, mode: stateMode)
        }
        let running = self.running
        return try await plugin.start(
            Plugin.StartInput(
                config: config, root: root, state: state, logger: logger, lifecycle: runtime,
                running: { running[$0, default: []] }))
    }

    /// Stops everything in reverse order, whether or not the caller is cancelled. A second call does nothing.
    package func stop() async {
        let all = runtimes
        runtimes = []
        running = [:]
        let (board, patience) = (board, patience)
        await Task {
            let end = ContinuousClock.now + patience.stopAll
            for runtime in all.reversed() {
                board.set(runtime.id, .stopping)
                let left = max(.milliseconds(10), end - .now)
                let late = await runtime.stop(within: min(patience.stop, left))
                board.set(
                    runtime.id, late.isEmpty ? .stopped : .failed("did not stop: \(late.joined(separator: ", "))"))
            }
        }.value
    }
}

extension Kernel {
    /// One key that a file read again changes.
    package struct Change: Sendable, Hashable {
        /// The key, as `plugin.snapshotter.overlay.mount_options`.
        package let key: String
        /// Whether the new value is in force.
        package let applied: Bool
        /// Why the plugin refused it, if it did.
        package var refusal: String?

        package init(_ key: String, applied: Bool, refusal: String? = nil) {
            self.key = key
            self.applied = applied
            self.refusal = refusal
        }
    }

    /// Applies what of a new configuration can be applied while everything runs. Nothing is ever stopped.
    ///
    /// - Throws: `KernelProblems` if the new configuration has any; then nothing was applied.
    package func reload(_ plugins: [Plugin], _ new: Configuration) async throws -> [Change] {
        let plan = try KernelPlan(plugins: plugins, configuration: new)
        var changes: [Change] = []
        if new.enable != configuration.enable { changes.append(Change("enable", applied: false)) }
        if new.required != configuration.required { changes.append(Change("required", applied: false)) }
        if new.root != configuration.root { changes.append(Change("root", applied: false)) }
        if new.state != configuration.state { changes.append(Change("state", applied: false)) }
        for plugin in graph.order {
            guard let before = settings[plugin.id], let after = plan.settings[plugin.id] else { continue }
            changes += await reload(plugin, before, after)
        }
        return changes
    }

    private func reload(_ plugin: Plugin, _ before: Settings, _ after: Settings) async -> [Change] {
        let names = before.differences(to: after)
        guard !names.isEmpty else { return [] }
        let runtime = runtimes.first { $0.id == plugin.id }
        let canApply = Set(plugin.configKeys.filter(\.reloads).map(\.name))
        let some = names.filter { canApply.contains($0) && runtime?.canReload == true }
        var refusal: String?
        if let runtime, !some.isEmpty {
            do {
                let mixed = try before.taking(some, from: after, of: plugin)
                try await runtime.reload(mixed.config)
                settings[plugin.id] = mixed
            } catch { refusal = "\(error)" }
        }
        return names.map { name in
            let tried = some.contains(name)
            return Change(
                "plugin.\(plugin.id).\(name)", applied: tried && refusal == nil, refusal: tried ? refusal : nil)
        }
    }
}
