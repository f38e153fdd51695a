internal import BerthBase

/// The path of a layer's member below the layer's root: clean components, never `..`.
struct LayerPath: Hashable {
    /// The longest path and component that Linux takes.
    static let maxLength = 4095
    static let maxComponent = 255
    /// The deepest path: removing a tree holds a descriptor a level.
    static let maxDepth = 512

    /// The components with single slashes between them; empty for the root.
    private(set) var bytes: [UInt8] = []
    /// Where the last component begins.
    private var leafStart = 0

    static let root = LayerPath()

    private init() {}

    /// - Throws: `invalidArgument` for `..`, or what is too long or too deep.
    init(_ name: [UInt8]) throws {
        guard name.count <= 4 * Self.maxLength else { throw Self.refused(name, "is too long") }
        bytes.reserveCapacity(name.count)
        var depth = 0
        for component in name.split(separator: UInt8(ascii: "/")) {
            if component.elementsEqual(".".utf8) { continue }
            guard !component.elementsEqual("..".utf8) else { throw Self.refused(name, "leads upwards") }
            guard component.count <= Self.maxComponent else { throw Self.refused(name, "has a too long component") }
            depth += 1
            if !bytes.isEmpty { bytes.append(UInt8(ascii: "/")) }
            leafStart = bytes.count
            bytes.append(contentsOf: component)
        }
        guard bytes.count <= Self.maxLength, depth <= Self.maxDepth else {
            throw Self.refused(name, "is too long or too deep")
        }
    }

    private static func refused(_ name: [UInt8], _ why: String) -> BerthError {
        BerthError(
            .invalidArgument, "unpack a layer: path '\(String(decoding: name.prefix(200), as: UTF8.self))' \(why)")
    }

    var isRoot: Bool { bytes.isEmpty }
    var leaf: ArraySlice<UInt8> { bytes[leafStart...] }
    /// The last component for system calls.
    var leafName: [CChar] { leaf.map { CChar(bitPattern: $0) } + [0] }
    /// The whole path for system calls.
    var pathName: [CChar] { isRoot ? [46, 0] : bytes.map { CChar(bitPattern: $0) } + [0] }

    /// The path of the directory it is in.
    var parent: LayerPath {
        guard leafStart > 0 else { return .root }
        var parent = LayerPath()
        parent.bytes = Array(bytes[..<(leafStart - 1)])
        parent.leafStart = (parent.bytes.lastIndex(of: UInt8(ascii: "/")) ?? -1) + 1
        return parent
    }

    /// The path with another last component.
    func sibling(_ leaf: ArraySlice<UInt8>) -> LayerPath {
        var path = self
        path.bytes = Array(bytes[..<leafStart]) + leaf
        return path
    }

    /// Whether this is `other` or lies below it.
    func isWithin(_ other: LayerPath) -> Bool {
        other.isRoot
            || (bytes.starts(with: other.bytes)
                && (bytes.count == other.bytes.count || bytes[other.bytes.count] == UInt8(ascii: "/")))
    }

    /// The path for messages.
    var text: String { String(decoding: bytes.prefix(200), as: UTF8.self) }

    static func == (left: Self, right: Self) -> Bool { left.bytes == right.bytes }
    func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}
