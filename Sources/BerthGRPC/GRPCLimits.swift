/// What a peer may use of a server or a client. Every figure is a limit that is enforced, not advice.
package struct GRPCLimits: Sendable {
    /// Connections at once; more are closed at once.
    package var maxConnections = 512
    /// Calls at once on a connection; more are refused.
    package var maxConcurrentStreams = 256
    /// One received message.
    package var maxMessageBytes = 16 << 20
    /// Received messages that calls of all connections hold.
    package var maxHeldBytes = 128 << 20
    /// Messages a streaming handler has not taken yet; then the peer's window is not opened.
    package var maxUnreadBytes = 256 << 10
    /// Messages of a stream the peer has not taken yet; then `send` waits.
    package var maxUnsentBytes = 256 << 10
    /// The names and values of a request, each with 32 bytes on top, as HTTP/2 counts.
    package var maxHeaderListBytes = 64 << 10
    /// CONTINUATION frames behind one HEADERS frame.
    package var maxContinuations = 8
    /// Streams that are reset, by the peer or because of it, in a second.
    package var maxResetsPerSecond = 200
    /// PING, SETTINGS, PRIORITY and empty DATA frames in a second.
    package var maxControlFramesPerSecond = 1000
    /// Frames that wait because the peer does not read; data of calls is not among them.
    package var maxQueuedFrames = 4096
    /// Entries of one SETTINGS frame.
    package var maxSettings = 32
    /// Bytes of a stream that may be under way to us.
    package var streamWindow = 256 << 10
    /// Bytes of all streams of a connection that may be under way to us.
    package var connectionWindow = 1 << 20
    /// How long a new connection may take to say that it speaks HTTP/2.
    package var handshake: Duration = .seconds(10)
    /// A peer that sent nothing for so long is pinged.
    package var keepaliveTime: Duration = .seconds(300)
    /// How long it may take to answer a ping.
    package var keepaliveTimeout: Duration = .seconds(20)
    /// A peer that pings more often, three times in a row without anything sent to it meanwhile, is sent away.
    package var minPingInterval: Duration = .seconds(10)
    /// How long a connection that was told to go may take to take the last bytes.
    package var closing: Duration = .seconds(1)

    package init() {}
}

/// Counts events in windows of one second.
struct RateWindow {
    private var start = ContinuousClock.now
    private var count = 0

    /// Counts one; whether the limit is passed.
    mutating func exceeds(_ limit: Int) -> Bool {
        count += 1
        if count <= limit { return false }
        let now = ContinuousClock.now
        if now - start < .seconds(1) { return true }
        start = now
        count = 1
        return false
    }
}
