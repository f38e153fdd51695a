internal import BerthBase
package import BerthKernel
internal import BerthServices

/// Settings of `pods.local`.
struct PodsConfig: PluginConfig {
    /// The snapshotter of containers' root file systems.
    var snapshotter = "overlay"
    /// Runtime handlers and their runtimes.
    var handlers = ["berth": "io.containerd.berth.v1"]
    /// The handler of pods that name none.
    var defaultHandler = "berth"
    /// The sandbox controller of pods.
    var sandboxer = "pod"
    /// The most bytes of each stream that an ExecSync returns.
    var execOutputLimit = 16 << 20

    static var keys: [ConfigKey] {
        [
            ConfigKey("snapshotter", "snapshotter of the containers' root file systems"),
            ConfigKey("handlers", "runtime handlers by name, each with its runtime"),
            ConfigKey("default_handler", "handler of pods that name none"),
            ConfigKey("sandboxer", "sandbox controller that runs pods"),
            ConfigKey("exec_output_limit", "most bytes of each stream that an ExecSync returns"),
        ]
    }

    func validate() throws {
        guard handlers[defaultHandler] != nil else {
            throw BerthError(.invalidArgument, "default_handler '\(defaultHandler)' is not in handlers")
        }
        guard execOutputLimit > 0 else { throw BerthError(.invalidArgument, "exec_output_limit must be at least 1") }
    }
}

extension Plugin {
    /// The engine that runs pods and containers.
    package static let localPods = Plugin(
        "local", provides: .pods, config: PodsConfig.self,
        requires: .one(.metadata), .one(.snapshots), .one(.images), .one(.tasks), .all(.sandbox), .optional(.network),
        .one(.operations)
    ) { context, metadata, snapshots, images, tasks, sandboxes, network, operations in
        guard sandboxes[context.config.sandboxer] != nil else {
            throw BerthError(
                .failedPrecondition,
                "the sandbox controller '\(context.config.sandboxer)' is not among those that run: "
                    + sandboxes.names.joined(separator: ", "))
        }
        let services = EngineServices(
            metadata: metadata, snapshots: snapshots, images: images, tasks: tasks,
            sandboxes: Dictionary(uniqueKeysWithValues: sandboxes.all.map { ($0.name, $0.service) }),
            network: network, operations: operations)
        let facts = try await Blocking.run { HostFacts.current() }
        let engine = LocalPodEngine(
            services: services, config: context.config, facts: facts, root: context.root, state: context.state,
            logger: context.logger)
        let exits = await tasks.exits()
        let unfinished = try await engine.rows.unfinishedCreates()
        try await engine.recover()
        context.run("unfinished creates") { await engine.dropUnfinishedCreates(unfinished) }
        context.run("exits") { await engine.followExits(exits) }
        for (name, controller) in sandboxes.all {
            let losses = await controller.losses()
            context.run("losses of \(name)") { await engine.followLosses(losses) }
        }
        context.onStop("recovery") { engine.recovery.cancel() }
        return engine
    }
}
