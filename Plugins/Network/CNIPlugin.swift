internal import BerthBase
package import BerthKernel
internal import BerthServices

/// Settings of `network.cni`.
struct CNIConfig: PluginConfig {
    /// Where configurations lie; the first file in name order is the pods' network.
    var confDir = "/etc/cni/net.d"
    /// Where plugins' executables lie, searched in order.
    var binDirs = ["/opt/cni/bin", "/usr/lib/cni"]
    /// How long one plugin may take for one pod.
    var timeoutSeconds = 60
    /// Where network namespaces are bind-mounted.
    var netnsDir = "/run/netns"
    /// How often failed teardowns are tried again, at most.
    var retrySeconds = 30
    /// Whether plugins are told at the start which pods there are.
    var collectGarbage = false

    static var keys: [ConfigKey] {
        [
            ConfigKey(
                "conf_dir", "directory of CNI configurations; the first valid one in name order is used", reloads: false
            ),
            ConfigKey("bin_dirs", "directories of CNI plugins, searched in order", reloads: false),
            ConfigKey("timeout_seconds", "how long one CNI plugin may take for one pod", reloads: false),
            ConfigKey("netns_dir", "where the pods' network namespaces are bind-mounted", reloads: false),
            ConfigKey("retry_seconds", "longest pause between two attempts of a failed teardown", reloads: false),
            ConfigKey(
                "collect_garbage",
                "whether plugins are told at the start (GC) to give back all but Berth's pods; "
                    + "not beside another runtime"
            ),
        ]
    }

    func validate() throws {
        guard timeoutSeconds > 0, timeoutSeconds <= 600 else {
            throw BerthError(.invalidArgument, "timeout_seconds must be from 1 to 600")
        }
        guard retrySeconds > 0 else { throw BerthError(.invalidArgument, "retry_seconds must be at least 1") }
        guard !binDirs.isEmpty else { throw BerthError(.invalidArgument, "bin_dirs must name a directory") }
        for directory in binDirs + [confDir, netnsDir] where !directory.hasPrefix("/") {
            throw BerthError(.invalidArgument, "'\(directory)' must be an absolute path")
        }
    }
}

extension Plugin {
    /// Pod networks by CNI plugins.
    package static let cniNetwork = Plugin(
        "cni", provides: .network, config: CNIConfig.self, requires: .one(.metadata)
    ) { context, metadata in
        let network = CNINetwork(
            config: context.config, metadata: metadata, logger: context.logger)
        try await network.recover()
        context.run("teardowns") { try await network.retryTeardowns() }
        context.run("garbage") { try await network.collectGarbage() }
        context.run("configuration") { try await network.followConfiguration(report: context.report) }
        return network
    }
}
