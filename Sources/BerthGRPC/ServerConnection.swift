internal import BerthBase
internal import BerthIO
internal import BerthSystem

/// One client of a server: its streams, and whether it behaves.
///
/// SAFETY: as `HTTP2Connection`: the loop's thread only, but for what does not change.
final class ServerConnection: HTTP2Connection, HTTP2Events, @unchecked Sendable {
    let server: ServerCore
    let peer: PeerCredentials?
    private var streams: [Int32: ServerStream] = [:]
    /// Handlers that have not returned, also of streams that are gone.
    var runningHandlers = 0
    private var resets = RateWindow()
    private var controlFrames = RateWindow()
    private var pings = PingPolicy()
    /// Holds the connection until it is closed. Weak references would cost: an object that has had one counts all
    /// its references the slow way.
    private var keepalive: TimerID?
    private var isDraining = false
    private var drainPing = false

    init(_ descriptor: consuming OwnedFD, _ server: ServerCore) throws {
        let identity = SocketAddress.peer(of: descriptor.rawValue)
        peer = identity.map { PeerCredentials(pid: $0.pid, uid: $0.uid, gid: $0.gid) }
        self.server = server
        let session = try HTTP2Session(isServer: true, server.limits)
        super.init(
            descriptor, session: session, limits: server.limits, scratch: server.scratch, loop: server.loop)
        unsafe session.events = self
    }

    /// Begins to serve: on the loop's thread.
    func begin() {
        open()
        keepalive = loop.schedule(at: .now + limits.handshake) { [self] in handshakeIsOver() }
        if server.isDraining { drain() }
    }

    private func handshakeIsOver() {
        guard isOpen else { return }
        guard hasReceived else { return close(BerthError(.unavailable, "the peer said nothing in time")) }
        planKeepalive()
    }

    // MARK: keepalive

    private func planKeepalive() {
        keepalive = loop.schedule(at: lastReceived + limits.keepaliveTime) { [self] in checkPeer() }
    }

    private func checkPeer() {
        guard isOpen else { return }
        guard ContinuousClock.now - lastReceived >= limits.keepaliveTime else { return planKeepalive() }
        let asked = ContinuousClock.now
        session.ping()
        planFlush()
        keepalive = loop.schedule(at: .now + limits.keepaliveTimeout) { [self] in
            guard isOpen else { return }
            // Any byte shows that the peer lives.
            if lastReceived > asked { return planKeepalive() }
            close(BerthError(.unavailable, "the peer did not answer a ping"))
        }
    }

    func pingAnswered() {
        guard isOpen, drainPing else { return }
        drainPing = false
        session.refuseNewStreams()
        planFlush()
    }

    // MARK: the end

    /// Takes no new calls, and closes when those under way have ended.
    func drain() {
        guard !isDraining, isOpen else { return }
        isDraining = true
        drainPing = true
        // Calls on their way are still taken: the peer has seen the notice when it answers the ping.
        session.announceShutdown()
        planFlush()
        // nghttp2 would send a ping of the same turn first.
        loop.execute { [self] in
            guard isOpen else { return }
            session.ping()
            planFlush()
        }
        loop.schedule(at: .now + limits.closing) { [self] in pingAnswered() }
    }

    override func didClose(_ reason: BerthError) {
        if let keepalive { loop.cancel(keepalive) }
        let all = streams.values
        streams = [:]
        for stream in all { stream.closed(0x8) }
        server.closed(self)
    }

    /// Why no handler can be started, if none can.
    func refusalToRun() -> BerthError? {
        // Streams that were reset leave handlers behind that may not have noticed yet.
        guard runningHandlers >= 2 * limits.maxConcurrentStreams else { return nil }
        return BerthError(
            .resourceExhausted, "start a handler: \(runningHandlers) of this connection run already")
    }

    /// A handler has taken messages: the peer may send more.
    func opened(_ stream: Int32, _ count: Int) {
        guard isOpen, streams[stream] != nil else { return }
        session.consumeStream(stream, count)
        planFlush()
    }

    // MARK: frames

    func headersBegan(_ stream: Int32) {
        if streams[stream] == nil { streams[stream] = ServerStream(stream, self) }
    }

    func header(_ stream: Int32, name: Bytes, value: Bytes) -> Bool {
        guard let call = streams[stream] else { return true }
        return unsafe call.header(name, value)
    }

    func headersEnded(_ stream: Int32, isLast: Bool) {
        guard let call = streams[stream] else { return }
        pings.peerWasUseful()
        call.headersEnded(isLast: isLast)
    }

    func data(_ stream: Int32, _ bytes: Bytes) {
        if let call = streams[stream] { return unsafe call.data(bytes) }
        session.consumeConnection(bytes.count)
    }

    func streamEnded(_ stream: Int32) { streams[stream]?.requestEnded() }

    func streamClosed(_ stream: Int32, error: UInt32) {
        streams.removeValue(forKey: stream)?.closed(error)
    }

    func fill(_ stream: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> BodyPart {
        guard let call = streams[stream] else { return .failed }
        return unsafe call.fill(buffer)
    }

    func sentEnd(_ stream: Int32) {
        // The peer need not send the rest of a request that is answered.
        if !session.peerHasEnded(stream) { session.reset(stream, 0) }
    }

    func goawayReceived(last: Int32, error: UInt32, text: String) {}

    func sentReset(_ error: UInt32) { if error != 0 { countReset() } }

    func frameBegan(_ frame: FrameHead) {
        switch frame.kind {
        case .reset: countReset()
        case .ping where !frame.isAck:
            if pings.isTooMany(limits.minPingInterval) { leave(0xb, "too_many_pings") }
            countControl()
        case .priority, .settings: countControl()
        case .data where frame.length == 0 && !frame.isEnd: countControl()
        default: break
        }
    }

    private func countReset() {
        if resets.exceeds(limits.maxResetsPerSecond) { leave(0xb, "too many resets") }
    }

    private func countControl() {
        if controlFrames.exceeds(limits.maxControlFramesPerSecond) { leave(0xb, "too many control frames") }
    }
}

/// Judges a peer's pings, as gRPC's servers do: it may ping a call that waits, but not all the time.
struct PingPolicy {
    private var last: ContinuousClock.Instant?
    private var strikes = 0
    private static let maxStrikes = 2

    /// Something was asked since: pings measure what they should.
    mutating func peerWasUseful() {
        last = nil
        strikes = 0
    }

    mutating func isTooMany(_ interval: Duration) -> Bool {
        let now = ContinuousClock.now
        defer { last = now }
        if let last, now - last < interval { strikes += 1 }
        return strikes > Self.maxStrikes
    }
}
