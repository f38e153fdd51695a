internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
package import BerthKernel
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import SwiftProtobuf
internal import SystemPackage

extension Plugin {
    /// What containerd's clients ask first: its Version service, and who the server is.
    package static let versionService = Plugin("version", provides: .rpc, config: NoConfig.self) { context in
        VersionProvider(identity: try ServerIdentity.load(from: context.root.appending("uuid").string))
    }
}

struct VersionProvider: GRPCProvider {
    let identity: ServerIdentity
    var label: String { "version" }
    var services: [any GRPCService] { [VersionService(), IdentityService(identity: identity)] }
}

/// `containerd.services.version.v1.Version`.
struct VersionService: GRPCService {
    var name: String { "containerd.services.version.v1.Version" }

    var methods: [GRPCMethod] {
        var response = Containerd_Services_Version_V1_VersionResponse()
        response.version = BerthVersion.current
        let answer = response
        return [GRPCMethod.unary("Version") { (_: Google_Protobuf_Empty, _) in answer }]
    }
}

/// `Server` of `containerd.services.introspection.v1.Introspection`: the method that `ctr version` calls.
struct IdentityService: GRPCService {
    let identity: ServerIdentity
    var name: String { "containerd.services.introspection.v1.Introspection" }

    var methods: [GRPCMethod] {
        let answer = identity.encoded
        return [GRPCMethod("Server", .unary { _, _ in answer })]
    }
}

/// Which daemon this is: a UUID that stays with its root, and where it runs.
struct ServerIdentity: Sendable {
    let uuid: String
    let pid: UInt64
    let pidNamespace: UInt64

    /// Reads the UUID, or makes one on the first start.
    static func load(from path: String) throws -> ServerIdentity {
        let uuid: String
        do {
            if let known = try? Files.text(path), known.utf8.count == 36 {
                uuid = known
            } else {
                uuid = try Files.text("/proc/sys/kernel/random/uuid")
                try Files.replace(path, with: Array(uuid.utf8), mode: 0o600)
            }
            let file = try Files.open("/proc/self/ns/pid", O_RDONLY)
            let namespace = try Files.status(of: file.rawValue).inode
            return ServerIdentity(uuid: uuid, pid: UInt64(getpid()), pidNamespace: namespace)
        } catch { throw BerthError(error, "keep the server's identity in '\(path)'") }
    }

    /// As a ServerResponse: uuid = 1, pid = 2, pidns = 3.
    var encoded: [UInt8] {
        [0x0a] + Self.varint(UInt64(uuid.utf8.count)) + uuid.utf8 + [0x10] + Self.varint(pid) + [0x18]
            + Self.varint(pidNamespace)
    }

    private static func varint(_ number: UInt64) -> [UInt8] {
        var (rest, bytes) = (number, [UInt8]())
        while rest >= 128 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}
