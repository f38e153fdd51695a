internal import BerthIO
package import BerthKernel
internal import BerthShimClient
internal import SystemPackage

/// Settings of `shims.local`.
package struct ShimsConfig: PluginConfig {
    /// The daemon's gRPC socket, as shims are told it.
    package var grpcAddress = "/run/berth/berth.sock"

    package init() {}

    package static var keys: [ConfigKey] {
        [ConfigKey("grpc_address", "the daemon's gRPC socket, as shims are told it")]
    }
}

extension Plugin {
    /// The shims of this host: their bundles, sockets and connections, which tasks and sandboxes share.
    package static let localShims = Plugin(
        "local", provides: .shims, config: ShimsConfig.self
    ) { context in
        let registry = try ShimRegistry(
            in: context.state.string, grpcAddress: context.config.grpcAddress,
            publisher: ShimBinary.programFolder + "/berthd", loop: try EventLoop.ofProcess(), logger: context.logger)
        await registry.recover()
        context.onStop("let go of the shims") { await registry.close() }
        return registry
    }.openingState()
}
