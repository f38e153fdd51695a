internal import BerthBase
package import BerthKernel
internal import BerthServices
internal import BerthShimClient

extension Plugin {
    /// Pods as sandboxes of our shim: it holds their namespaces, so there is no pause container.
    package static let podSandbox = Plugin(
        "pod", provides: .sandbox, config: NoConfig.self, requires: .one(.shims)
    ) { context, shims in PodSandboxController(shims, logger: context.logger) }
}
