/// Names an interface that plugins provide and require. The name is the first half of every provider's plugin ID.
public struct ServiceKey<Interface: Sendable>: Hashable, Sendable {
    /// The name, e.g. `snapshotter`.
    public let name: String
    /// Declares a key; done once, in an extension beside the interface.
    public init(_ name: String) { self.name = name }
}

/// Identifies a plugin: `snapshotter.overlay`. Also its table in the configuration, its directory, its log label.
public struct PluginID: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The name of the key it provides.
    public let service: String
    /// Its own name.
    public let name: String
    /// Makes an ID from its halves.
    public init(service: String, name: String) {
        self.service = service
        self.name = name
    }
    /// `service.name`.
    public var description: String { "\(service).\(name)" }
    /// Orders by the text.
    public static func < (left: Self, right: Self) -> Bool { left.description < right.description }
}

/// The running providers of one key, by plugin name.
public struct Providers<Interface: Sendable>: Sendable {
    /// The providers with their plugins' names, ordered by name.
    public let all: [(name: String, service: Interface)]
    /// Makes the collection, for the kernel and for tests.
    public init(_ all: [(name: String, service: Interface)]) { self.all = all.sorted { $0.name < $1.name } }
    /// The provider of that plugin name.
    public subscript(name: String) -> Interface? { all.first { $0.name == name }?.service }
    /// The names, in order.
    public var names: [String] { all.map(\.name) }
}
