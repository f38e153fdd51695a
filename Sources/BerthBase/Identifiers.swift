/// A string that names one kind of thing, so that a pod's ID cannot be passed for a container's.
public struct TypedID<Kind>: Hashable, Sendable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The bare identifier.
    public let rawValue: String
    /// Wraps a string as it is; the grammar is checked where it enters the system (see `Identifier.validate`).
    public init(_ rawValue: String) { self.rawValue = rawValue }
    /// Wraps a literal.
    public init(stringLiteral value: String) { rawValue = value }
    /// The bare identifier.
    public var description: String { rawValue }
    /// Orders by the bare identifier, byte by byte.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension TypedID: Codable {
    /// Decodes from a plain string.
    public init(from decoder: any Decoder) throws { rawValue = try String(from: decoder) }
    /// Encodes as a plain string.
    public func encode(to encoder: any Encoder) throws { try rawValue.encode(to: encoder) }
}

/// Marker of `PodID`.
public enum PodKind {}
/// Marker of `ContainerID`.
public enum ContainerKind {}
/// Marker of `NamespaceID`.
public enum NamespaceKind {}
/// Marker of `SnapshotKey`.
public enum SnapshotKeyKind {}
/// Marker of `LeaseID`.
public enum LeaseKind {}

/// The ID of a pod sandbox.
public typealias PodID = TypedID<PodKind>
/// The ID of a container.
public typealias ContainerID = TypedID<ContainerKind>
/// The name of a containerd namespace, e.g. `k8s.io`.
public typealias NamespaceID = TypedID<NamespaceKind>
/// The key of an active snapshot or the name of a committed one.
public typealias SnapshotKey = TypedID<SnapshotKeyKind>
/// The ID of a lease.
public typealias LeaseID = TypedID<LeaseKind>

/// containerd's identifier grammar: 1 to 76 characters of `[A-Za-z0-9]` with single `-`, `_` or `.` between them.
public enum Identifier {
    /// The longest identifier, in bytes.
    public static let maxLength = 76

    /// - Throws: `invalidArgument` that names the identifier and the rule it breaks.
    public static func validate(_ identifier: String, as what: String) throws {
        guard !identifier.isEmpty else { throw BerthError(.invalidArgument, "the \(what) is empty") }
        let bytes = Array(identifier.utf8)
        guard bytes.count <= maxLength else {
            throw BerthError(
                .invalidArgument, "the \(what) '\(identifier.prefix(80))' is longer than \(maxLength) characters")
        }
        var separatorBefore = true
        for byte in bytes {
            let alphanumeric =
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
            let separator = byte == 0x2d || byte == 0x2e || byte == 0x5f
            guard alphanumeric || (separator && !separatorBefore) else { throw malformed(identifier, what) }
            separatorBefore = separator
        }
        guard !separatorBefore else { throw malformed(identifier, what) }
    }

    private static func malformed(_ identifier: String, _ what: String) -> BerthError {
        BerthError(
            .invalidArgument,
            "the \(what) '\(identifier)' must be letters and digits with single '-', '_' or '.' between them")
    }
}
