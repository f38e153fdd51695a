internal import BerthBase
package import BerthKernel

/// Settings of `images.registry`.
package struct RegistryConfig: PluginConfig {
    /// Where images are unpacked unless a caller says otherwise.
    package var snapshotter = "overlay"
    /// Layers fetched at once by one pull.
    package var maxConcurrentDownloads = 3
    /// Folders with a folder a registry.
    package var certsDirs = ["/etc/berth/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d"]
    /// docker's file of credentials.
    package var dockerConfig = "/root/.docker/config.json"
    /// Registries without TLS.
    package var plainHTTP: [String] = []
    /// How long a pull may bring nothing.
    package var progressTimeoutSeconds = 60
    /// How long connecting to a server may take.
    package var dialTimeoutSeconds = 15
    /// Tries of one transfer without progress.
    package var maxTries = 5

    package init() {}

    package static var keys: [ConfigKey] {
        [
            ConfigKey("snapshotter", "the snapshotter that images are unpacked into unless a caller names another"),
            ConfigKey("max_concurrent_downloads", "layers that one pull fetches at once"),
            ConfigKey(
                "certs_dirs", "folders with one folder a registry, each with a hosts.toml or docker's certificates"),
            ConfigKey("docker_config", "docker's config.json with credentials; empty: none is read"),
            ConfigKey("plain_http", "registries (host or host:port) that are spoken to without TLS"),
            ConfigKey(
                "progress_timeout_seconds", "how long a pull may neither receive nor unpack anything before it fails"),
            ConfigKey("dial_timeout_seconds", "how long connecting to a server may take"),
            ConfigKey("max_tries", "tries of one transfer that bring nothing before it fails"),
        ]
    }

    package func validate() throws {
        func check(_ value: Int, _ range: ClosedRange<Int>, _ key: String) throws {
            guard range.contains(value) else {
                throw BerthError(.invalidArgument, "\(key) must be from \(range.lowerBound) to \(range.upperBound)")
            }
        }
        try check(maxConcurrentDownloads, 1...32, "max_concurrent_downloads")
        try check(progressTimeoutSeconds, 1...3600, "progress_timeout_seconds")
        try check(dialTimeoutSeconds, 1...300, "dial_timeout_seconds")
        try check(maxTries, 1...20, "max_tries")
        guard !snapshotter.isEmpty else { throw BerthError(.invalidArgument, "snapshotter must name one") }
        for path in certsDirs + (dockerConfig.isEmpty ? [] : [dockerConfig]) where !path.hasPrefix("/") {
            throw BerthError(.invalidArgument, "'\(path)' must be an absolute path")
        }
        for registry in plainHTTP where WebAddress.split(registry, "http") == nil {
            throw BerthError(.invalidArgument, "plain_http: '\(registry)' is no host or host:port")
        }
    }
}
