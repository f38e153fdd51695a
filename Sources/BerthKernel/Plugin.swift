package import BerthTOML
public import Logging
public import SystemPackage

/// A plugin could not run here and that is no failure: the host lacks what it needs.
public struct PluginSkipped: Error, CustomStringConvertible {
    /// What is missing.
    public let reason: String
    /// Says what is missing.
    public init(_ reason: String) { self.reason = reason }
    /// The reason.
    public var description: String { reason }
}

/// How a running plugin is.
public enum PluginHealth: Sendable, Hashable {
    /// As it should be.
    case healthy
    /// Works with losses.
    case degraded(String)
}

/// What the kernel gives a plugin to start with.
public struct PluginContext<Config: PluginConfig>: Sendable {
    /// Its ID.
    public let id: PluginID
    /// Its settings.
    public let config: Config
    /// A directory of its own that survives reboots, mode 0700.
    public let root: FilePath
    /// A directory of its own that a reboot clears, mode 0700 (0711 after `Plugin.openingState`).
    public let state: FilePath
    /// Logs under its ID.
    public let logger: Logger
    let lifecycle: any PluginLifecycle

    /// Registers what to do when the plugin stops; the last registered runs first.
    public func onStop(_ label: String, _ body: @escaping @Sendable () async -> Void) {
        lifecycle.onStop(label, body)
    }

    /// Registers background work. It begins when all plugins have started, ends by cancellation when the plugin
    /// stops; a throw before that degrades the plugin.
    public func run(_ label: String, _ body: @escaping @Sendable () async throws -> Void) {
        lifecycle.run(label, body)
    }

    /// Registers how new settings are applied while the plugin runs: those whose `ConfigKey` says that a reload does.
    /// A throw refuses them, with its reason in the log; the old ones must then still be in force.
    public func onReload(_ body: @escaping @Sendable (Config) async throws -> Void) {
        lifecycle.onReload { config in
            if let config = config as? Config { try await body(config) }
        }
    }

    /// Reports how the plugin is; in `start` already, if it starts with losses.
    public func report(_ health: PluginHealth) { lifecycle.report(health) }
}

/// The kernel's side of a context.
protocol PluginLifecycle: Sendable {
    func onStop(_ label: String, _ body: @escaping @Sendable () async -> Void)
    func onReload(_ body: @escaping @Sendable (any PluginConfig) async throws -> Void)
    func run(_ label: String, _ body: @escaping @Sendable () async throws -> Void)
    func report(_ health: PluginHealth)
}

/// A plugin is a value: a name, what it provides, its settings, what it requires, and how it starts.
public struct Plugin: Sendable {
    /// The ID: the key's name and its own.
    public let id: PluginID
    /// An edge of the graph, without its type.
    struct Need: Sendable {
        let service: String
        let interface: ObjectIdentifier
        let arity: Arity
    }
    let interface: ObjectIdentifier
    var needs: [Need]
    let config: any PluginConfig.Type
    /// Whether other users may pass through its state directory.
    private(set) var opensState = false
    /// Starts with a decoded config and the running providers of each needed service.
    var start: @Sendable (StartInput) async throws -> any Sendable

    /// What the kernel passes to `start`.
    struct StartInput: Sendable {
        let config: any PluginConfig
        let root: FilePath
        let state: FilePath
        let logger: Logger
        let lifecycle: any PluginLifecycle
        let running: @Sendable (String) -> [(name: String, service: any Sendable)]
    }

    /// Declares a plugin.
    ///
    /// - Parameters:
    ///   - name: its own name; with the key's name it makes the ID.
    ///   - key: what it provides.
    ///   - config: its settings' type.
    ///   - need: what it requires; `start` gets the values in the same order.
    ///   - start: returns something that works, or throws; `PluginSkipped` when this host cannot run it.
    public init<Interface: Sendable, Config: PluginConfig, each Required: Sendable>(
        _ name: String, provides key: ServiceKey<Interface>, config: Config.Type,
        requires need: repeat Requirement<each Required>,
        start: @escaping @Sendable (PluginContext<Config>, repeat each Required) async throws -> Interface
    ) {
        let id = PluginID(service: key.name, name: name)
        self.id = id
        self.config = config
        interface = ObjectIdentifier(Interface.self)
        var edges: [Need] = []
        for requirement in repeat each need {
            edges.append(
                Need(service: requirement.service, interface: requirement.interface, arity: requirement.arity))
        }
        needs = edges
        let required = (repeat each need)
        self.start = { input in
            guard let config = input.config as? Config else { throw Unresolved(service: id.description) }
            let context = PluginContext(
                id: id, config: config, root: input.root, state: input.state, logger: input.logger,
                lifecycle: input.lifecycle)
            return try await start(context, repeat (each required).resolve(input.running((each required).service)))
        }
    }
}

extension Plugin {
    /// The same plugin with a state directory of mode 0711: other users may pass through it to paths that they know,
    /// as containers' users must on the way to their root file system, but not list it.
    public func openingState() -> Plugin {
        var copy = self
        copy.opensState = true
        return copy
    }

    /// Every key of its settings.
    package var configKeys: [ConfigKey] { config.keys }

    /// Its settings' defaults as a table.
    package func defaultConfig() throws -> TOMLTable {
        func encode<Config: PluginConfig>(_ type: Config.Type) throws -> TOMLTable {
            try TOMLEncoder.encode(Config(), at: SourcePosition(file: "default", line: 0, column: 0))
        }
        return try encode(config)
    }
}
