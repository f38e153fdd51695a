/// How many providers satisfy a requirement.
enum Arity: Sendable {
    /// Exactly one provider must be enabled and run.
    case one
    /// At most one may be enabled; nil if none runs.
    case optional
    /// Any number.
    case all
}

/// What a plugin needs of others: a typed edge of the graph.
public struct Requirement<Value: Sendable>: Sendable {
    /// The key's name.
    let service: String
    /// The interface, to find two interfaces under one name.
    let interface: ObjectIdentifier
    let arity: Arity
    /// Picks the value out of the running providers of the key.
    let resolve: @Sendable ([(name: String, service: any Sendable)]) throws -> Value

    /// Exactly one provider.
    public static func one(_ key: ServiceKey<Value>) -> Self {
        Self(service: key.name, interface: ObjectIdentifier(Value.self), arity: .one) { running in
            guard let first = running.first?.service as? Value else { throw Unresolved(service: key.name) }
            return first
        }
    }

    /// Nil if no provider runs.
    public static func optional<Interface: Sendable>(_ key: ServiceKey<Interface>) -> Self where Value == Interface? {
        Self(service: key.name, interface: ObjectIdentifier(Interface.self), arity: .optional) { running in
            running.first?.service as? Interface
        }
    }

    /// All providers that run.
    public static func all<Interface: Sendable>(_ key: ServiceKey<Interface>) -> Self
    where Value == Providers<Interface> {
        Self(service: key.name, interface: ObjectIdentifier(Interface.self), arity: .all) { running in
            Providers(running.compactMap { entry in (entry.service as? Interface).map { (entry.name, $0) } })
        }
    }
}

/// A requirement met no provider at run time; the graph's check makes this impossible.
struct Unresolved: Error {
    let service: String
}
