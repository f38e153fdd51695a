internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
package import BerthKernel
internal import BerthServices
internal import SwiftProtobuf

extension Plugin {
    /// containerd's Version service, which its clients ask first.
    package static let versionService = Plugin("version", provides: .rpc, config: NoConfig.self) { _ in
        VersionService()
    }
}

/// `containerd.services.version.v1.Version`.
struct VersionService: GRPCProvider, GRPCService {
    var label: String { "version" }
    var services: [any GRPCService] { [self] }
    var name: String { "containerd.services.version.v1.Version" }

    var methods: [GRPCMethod] {
        var response = Containerd_Services_Version_V1_VersionResponse()
        response.version = BerthVersion.current
        let answer = response
        return [GRPCMethod.unary("Version") { (_: Google_Protobuf_Empty, _) in answer }]
    }
}
