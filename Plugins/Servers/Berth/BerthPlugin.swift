internal import BerthBase
internal import BerthGRPC
package import BerthKernel
internal import BerthServices

extension Plugin {
    /// `berth.v1`: what neither CRI nor containerd's API has, and what the `berth` command speaks.
    package static let berthRPC = Plugin(
        "berth", provides: .rpc, config: NoConfig.self,
        requires: .one(.kernel), .one(.operations), .one(.images), .optional(.pods), .optional(.garbage)
    ) { context, kernel, operations, images, pods, garbage in
        var runs: HandRunPods?
        if let pods {
            let own = HandRunPods(pods: pods, logger: context.logger)
            context.run("end the pods of containers that have exited") { try await own.watch() }
            runs = own
        }
        let service = BerthService(
            kernel: kernel, operations: operations, images: images, engine: pods, garbage: garbage, handRuns: runs)
        return BerthProvider(services: [service])
    }
}

struct BerthProvider: GRPCProvider {
    let label = "berth.v1"
    let services: [any GRPCService]
}
