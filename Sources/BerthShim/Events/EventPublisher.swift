internal import BerthBase
internal import BerthShimAPI
internal import BerthSystem
internal import BerthTTRPC
internal import SystemPackage

/// Forwards events to the daemon, one after the other and each at least once: one that was not acknowledged is sent
/// again when the daemon is back.
final class EventPublisher {
    /// The most events that wait for a daemon that is away. Exits can be learnt from the bundle, too.
    static let maxQueuedEvents = 2048
    /// How often an event is offered that the daemon refuses.
    static let maxAttempts = 5
    /// The pauses between attempts to reach the daemon: doubled from the first to the second.
    static let firstPause = Duration.milliseconds(100), longestPause = Duration.seconds(5)

    private struct Queued {
        let envelope: EnvelopeMessage
        var attempts = 0
    }

    private let loop: EventLoop
    private let address: String
    private var queue: [Queued] = []
    private var socket: OwnedBox?
    private var decoder = FrameDecoder()
    private var stream: UInt32 = 1
    private var waitsForAnswer = false
    private var pause = EventPublisher.firstPause
    private var retry: EventLoop.TimerID?
    /// Events that were given up, because nobody took them or too many waited.
    private(set) var lost = 0
    /// Called when nothing waits any more.
    var onIdle: () -> Void = {}

    /// - Parameter address: the path of the daemon's ttrpc socket.
    init(loop: EventLoop, address: String) {
        self.loop = loop
        self.address = address.hasPrefix("unix://") ? String(address.dropFirst(7)) : address
    }

    var isIdle: Bool { queue.isEmpty }

    /// Sends an event as soon as those before it are there.
    func publish(_ envelope: EnvelopeMessage) {
        if queue.count >= EventPublisher.maxQueuedEvents {
            queue.remove(at: waitsForAnswer ? 1 : 0)
            lost += 1
        }
        queue.append(Queued(envelope: envelope))
        sendNext()
    }

    private func sendNext() {
        guard !waitsForAnswer, retry == nil, let next = queue.first else { return }
        guard let socket = connect() else { return waitAndRetry() }
        var request = ForwardRequest()
        request.envelope = next.envelope
        let call = TTRPCRequest(service: EventsService.name, method: EventsService.forward, payload: request.encoded())
        guard let bytes = Frame(stream: stream, kind: .request, data: call.encoded()).encoded() else { return drop() }
        stream += 2
        // A daemon that leaves less room in its socket's buffer than one event needs is not there.
        guard let sent = try? LocalSocket.send(bytes[...], on: socket.number), sent == bytes.count else {
            return disconnected()
        }
        waitsForAnswer = true
    }

    private func connect() -> OwnedBox? {
        if let socket { return socket }
        guard let connected = try? Messages.connectStream(to: address) else { return nil }
        let box = OwnedBox(connected)
        do {
            try LocalSocket.setNonblocking(box.number)
            try loop.watch(box.number, .input) { [unowned self] _ in receive() }
        } catch { return nil }
        (socket, decoder, stream) = (box, FrameDecoder(), 1)
        return box
    }

    private func receive() {
        guard let socket else { return }
        do {
            guard let bytes = try LocalSocket.receive(socket.number, limit: 4096) else { return }
            if bytes.isEmpty { return disconnected() }
            decoder.append(bytes)
        } catch {
            return disconnected()
        }
        while let item = decoder.next() {
            guard case .frame(let frame) = item, frame.kind == .response, waitsForAnswer else { continue }
            waitsForAnswer = false
            acknowledge(frame)
        }
    }

    private func acknowledge(_ frame: Frame) {
        pause = EventPublisher.firstPause
        let refused = (try? TTRPCResponse(decoding: frame.data))?.status?.error
        if refused == nil { return finishFirst() }
        queue[0].attempts += 1
        if queue[0].attempts >= EventPublisher.maxAttempts { drop() } else { waitAndRetry() }
    }

    private func drop() {
        lost += 1
        finishFirst()
    }

    private func finishFirst() {
        queue.removeFirst()
        if queue.isEmpty { onIdle() } else { sendNext() }
    }

    private func disconnected() {
        if let socket { loop.forget(socket.number) }
        socket = nil
        waitsForAnswer = false
        if !queue.isEmpty { waitAndRetry() }
    }

    private func waitAndRetry() {
        guard retry == nil else { return }
        retry = loop.after(pause) { [unowned self] in
            retry = nil
            sendNext()
        }
        pause = min(pause * 2, EventPublisher.longestPause)
    }
}
