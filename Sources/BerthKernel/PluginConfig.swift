/// One key of a plugin's configuration, as `config print` and the reference page show it.
public struct ConfigKey: Sendable, Hashable {
    /// The key as it stands in the file, in snake case.
    public let name: String
    /// What it does, one sentence without a full stop.
    public let summary: String
    /// Whether a reload applies a new value; else it needs a restart.
    public let reloads: Bool
    /// Describes a key.
    public init(_ name: String, _ summary: String, reloads: Bool = false) {
        self.name = name
        self.summary = summary
        self.reloads = reloads
    }
}

/// A plugin's settings. Defaults are the property initialisers; keys are the properties in snake case.
public protocol PluginConfig: Codable, Sendable {
    /// Every key with a sentence.
    static var keys: [ConfigKey] { get }
    /// The defaults.
    init()
    /// Checks values that are well-formed but make no sense.
    func validate() throws
}

extension PluginConfig {
    /// Nothing to check.
    public func validate() throws {}
}

/// The configuration of a plugin without settings.
public struct NoConfig: PluginConfig {
    /// None.
    public static var keys: [ConfigKey] { [] }
    /// The only value.
    public init() {}
}
