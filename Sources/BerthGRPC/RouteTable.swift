internal import BerthBase

// SAFETY (for the whole file): `Bytes` point into a buffer of nghttp2, valid during the call that hands them over;
// what outlives it is copied.

/// Finds a method by the bytes of `:path`, which must be exactly `/package.Service/Method`.
struct RouteTable: Sendable {
    /// One method with its path as text, made once.
    struct Route: Sendable {
        let path: String
        let bytes: [UInt8]
        let method: GRPCMethod
    }
    /// By hash, open addressing: a path is compared as bytes and becomes no `String` on the way.
    private var slots: [Route?]
    private let serviceNames: Set<String>

    /// - Throws: `alreadyExists` when two services offer one path, `invalidArgument` for a name that cannot be called.
    init(_ services: [any GRPCService]) throws {
        let count = services.reduce(0) { $0 + $1.methods.count }
        var size = 16
        while size < 4 * count { size *= 2 }
        slots = Array(repeating: nil, count: size)
        serviceNames = Set(services.map(\.name))
        for service in services {
            for method in service.methods {
                guard Self.isName(service.name), Self.isName(method.name), !method.name.contains(".") else {
                    throw BerthError(
                        .invalidArgument, "serve '/\(service.name)/\(method.name)': no valid name")
                }
                try insert("/\(service.name)/\(method.name)", method)
            }
        }
    }

    private static func isName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "_"), UInt8(ascii: "."): true
                default: false
                }
            }
    }

    private mutating func insert(_ path: String, _ method: GRPCMethod) throws {
        let bytes = Array(path.utf8)
        var index = unsafe bytes.withUnsafeBytes { unsafe Self.hash($0) } & (slots.count - 1)
        while let taken = slots[index] {
            if taken.bytes == bytes {
                throw BerthError(.alreadyExists, "serve '\(path)': two services offer it")
            }
            index = (index + 1) & (slots.count - 1)
        }
        slots[index] = Route(path: path, bytes: bytes, method: method)
    }

    /// The method of a path.
    func find(_ path: UnsafeRawBufferPointer) -> Route? {
        var index = unsafe Self.hash(path) & (slots.count - 1)
        while let route = slots[index] {
            if unsafe route.bytes.count == path.count && route.bytes.elementsEqual(path) { return route }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    /// Why a path is not served.
    func refusal(of path: String) -> BerthError {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].isEmpty, !parts[1].isEmpty, !parts[2].isEmpty else {
            return BerthError(
                .unimplemented, "call '\(path)': malformed method name, want /package.Service/Method")
        }
        guard serviceNames.contains(String(parts[1])) else {
            return BerthError(.unimplemented, "call '\(path)': unknown service '\(parts[1])'")
        }
        return BerthError(
            .unimplemented, "call '\(path)': unknown method '\(parts[2])' of service '\(parts[1])'")
    }

    /// FNV-1a; the keys are ours, so nobody can choose colliding ones.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in 0..<bytes.count { hash = unsafe (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3 }
        return Int(truncatingIfNeeded: hash ^ hash >> 32)
    }
}
