internal import BerthBase
internal import BerthGRPC
package import BerthKernel
internal import BerthServices
internal import SystemPackage

/// The services of CRI.
struct CRIProvider: GRPCProvider {
    let label = "CRI v1"
    let services: [any GRPCService]
}

/// Settings of `rpc.cri`.
struct CRIConfig: PluginConfig {
    /// The snapshotter that pulled images are unpacked into.
    var snapshotter = "overlay"

    static var keys: [ConfigKey] {
        [ConfigKey("snapshotter", "snapshotter that pulled images are unpacked into; the one of pods.local")]
    }

    func validate() throws {
        guard !snapshotter.isEmpty else { throw BerthError(.invalidArgument, "snapshotter must not be empty") }
    }
}

extension Plugin {
    /// CRI v1 for kubelets, crictl and critest.
    package static let criRPC = Plugin(
        "cri", provides: .rpc, config: CRIConfig.self,
        requires: .one(.pods), .one(.images), .one(.metadata), .one(.snapshots), .optional(.network), .one(.operations)
    ) { context, engine, images, metadata, snapshots, network, operations in
        let name = context.config.snapshotter
        let folder = context.root.removingLastComponent().appending("snapshotter.\(name)")
        let usage = StorageUsage(metadata: metadata, snapshots: snapshots, snapshotter: name, mountpoint: folder)
        return CRIProvider(services: [
            RuntimeRPC(
                engine: engine, network: network, operations: operations, usage: usage, version: BerthVersion.current,
                logger: context.logger),
            ImageRPC(engine: engine, images: images, operations: operations, usage: usage, snapshotter: name),
        ])
    }
}
