internal import BerthBase
package import BerthKernel
internal import BerthServices
internal import BerthShimClient

extension Plugin {
    /// Containers as tasks of shims: ours, or any that speaks containerd's Task service in version 2 or 3.
    package static let shimTasks = Plugin(
        "shim", provides: .tasks, config: NoConfig.self, requires: .one(.shims)
    ) { context, shims in
        let manager = ShimTaskManager(shims, logger: context.logger)
        await manager.adopt()
        context.onStop("stop following the shims") { await manager.close() }
        return manager
    }
}
