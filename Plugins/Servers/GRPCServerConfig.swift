internal import BerthBase
package import BerthGRPC
package import BerthKernel

/// Settings of `server.grpc`.
package struct GRPCServerConfig: PluginConfig {
    /// The socket of CRI, containerd's API and Berth's own.
    package var address = "/run/berth/berth.sock"
    /// More sockets with the same services, e.g. containerd's own path.
    package var extraAddresses: [String] = []
    /// The group that may connect beside root.
    package var gid = 0
    /// How long calls under way may take when the daemon stops.
    package var drainSeconds = 5
    /// Unary calls that take longer are logged at level info.
    package var slowCallMilliseconds = 5000
    package var maxConnections = GRPCLimits().maxConnections
    package var maxConcurrentStreams = GRPCLimits().maxConcurrentStreams
    package var maxMessageBytes = GRPCLimits().maxMessageBytes
    package var maxHeldBytes = GRPCLimits().maxHeldBytes
    package var maxUnreadBytes = GRPCLimits().maxUnreadBytes
    package var maxUnsentBytes = GRPCLimits().maxUnsentBytes
    package var maxHeaderListBytes = GRPCLimits().maxHeaderListBytes
    package var maxContinuations = GRPCLimits().maxContinuations
    package var maxResetsPerSecond = GRPCLimits().maxResetsPerSecond
    package var maxControlFramesPerSecond = GRPCLimits().maxControlFramesPerSecond
    package var maxQueuedFrames = GRPCLimits().maxQueuedFrames
    package var maxSettings = GRPCLimits().maxSettings
    package var streamWindowBytes = GRPCLimits().streamWindow
    package var connectionWindowBytes = GRPCLimits().connectionWindow
    package var handshakeSeconds = 10
    package var keepaliveSeconds = 300
    package var keepaliveTimeoutSeconds = 20
    package var minPingSeconds = 10

    package init() {}

    package static var keys: [ConfigKey] {
        [
            ConfigKey("address", "the unix socket of the daemon's services"),
            ConfigKey("extra_addresses", "more unix sockets with the same services"),
            ConfigKey("gid", "the group that may connect beside root"),
            ConfigKey("drain_seconds", "how long calls under way may take when the daemon stops"),
            ConfigKey("slow_call_milliseconds", "unary calls that take longer are logged at level info"),
            ConfigKey("max_connections", "the most connections at once; more are closed"),
            ConfigKey("max_concurrent_streams", "the most calls at once on a connection"),
            ConfigKey("max_message_bytes", "the largest message received"),
            ConfigKey("max_held_bytes", "the most bytes of requests that all calls together hold"),
            ConfigKey("max_unread_bytes", "the most bytes a streaming call keeps that its handler has not read"),
            ConfigKey("max_unsent_bytes", "the most bytes a streaming call keeps that its client has not taken"),
            ConfigKey("max_header_list_bytes", "the most bytes of a request's headers"),
            ConfigKey("max_continuations", "the most CONTINUATION frames behind one HEADERS frame"),
            ConfigKey("max_resets_per_second", "the most streams of a connection reset in a second"),
            ConfigKey(
                "max_control_frames_per_second", "the most PING, SETTINGS, PRIORITY and empty DATA frames in a second"),
            ConfigKey("max_queued_frames", "the most frames that wait for a client that does not read"),
            ConfigKey("max_settings", "the most entries of one SETTINGS frame"),
            ConfigKey("stream_window_bytes", "how much a client may send ahead on a call"),
            ConfigKey("connection_window_bytes", "how much a client may send ahead on a connection"),
            ConfigKey("handshake_seconds", "how long a new connection may stay silent"),
            ConfigKey("keepalive_seconds", "a client that was silent for so long is pinged"),
            ConfigKey("keepalive_timeout_seconds", "how long a client may take to answer a ping"),
            ConfigKey("min_ping_seconds", "a client that pings more often is sent away"),
        ]
    }

    package func validate() throws {
        for path in [address] + extraAddresses where !path.hasPrefix("/") {
            throw BerthError(.invalidArgument, "address '\(path)' is no absolute path")
        }
        guard Set([address] + extraAddresses).count == 1 + extraAddresses.count else {
            throw BerthError(.invalidArgument, "extra_addresses names a socket twice")
        }
        for (name, value) in positive where value < 1 || value > Int(Int32.max) {
            throw BerthError(.invalidArgument, "\(name) is \(value) and must be from 1 to \(Int32.max)")
        }
        for (name, value) in [("gid", gid), ("drain_seconds", drainSeconds)] where value < 0 || value > Int(Int32.max) {
            throw BerthError(.invalidArgument, "\(name) is \(value) and must be from 0 to \(Int32.max)")
        }
    }

    private var positive: [(String, Int)] {
        [
            ("slow_call_milliseconds", slowCallMilliseconds), ("max_connections", maxConnections),
            ("max_concurrent_streams", maxConcurrentStreams), ("max_message_bytes", maxMessageBytes),
            ("max_held_bytes", maxHeldBytes), ("max_unread_bytes", maxUnreadBytes),
            ("max_unsent_bytes", maxUnsentBytes), ("max_header_list_bytes", maxHeaderListBytes),
            ("max_continuations", maxContinuations), ("max_resets_per_second", maxResetsPerSecond),
            ("max_control_frames_per_second", maxControlFramesPerSecond), ("max_queued_frames", maxQueuedFrames),
            ("max_settings", maxSettings),
            ("stream_window_bytes", streamWindowBytes), ("connection_window_bytes", connectionWindowBytes),
            ("handshake_seconds", handshakeSeconds), ("keepalive_seconds", keepaliveSeconds),
            ("keepalive_timeout_seconds", keepaliveTimeoutSeconds), ("min_ping_seconds", minPingSeconds),
        ]
    }

    /// As the server takes them.
    package var limits: GRPCLimits {
        var limits = GRPCLimits()
        limits.maxConnections = maxConnections
        limits.maxConcurrentStreams = maxConcurrentStreams
        limits.maxMessageBytes = maxMessageBytes
        limits.maxHeldBytes = maxHeldBytes
        limits.maxUnreadBytes = maxUnreadBytes
        limits.maxUnsentBytes = maxUnsentBytes
        limits.maxHeaderListBytes = maxHeaderListBytes
        limits.maxContinuations = maxContinuations
        limits.maxResetsPerSecond = maxResetsPerSecond
        limits.maxControlFramesPerSecond = maxControlFramesPerSecond
        limits.maxQueuedFrames = maxQueuedFrames
        limits.maxSettings = maxSettings
        limits.streamWindow = streamWindowBytes
        limits.connectionWindow = connectionWindowBytes
        limits.handshake = .seconds(handshakeSeconds)
        limits.keepaliveTime = .seconds(keepaliveSeconds)
        limits.keepaliveTimeout = .seconds(keepaliveTimeoutSeconds)
        limits.minPingInterval = .seconds(minPingSeconds)
        return limits
    }
}
