internal import BerthBase
internal import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Takes the shim's events to the daemon: over ttrpc, or by the daemon's own program where it names no socket.
final class EventSink {
    /// The most runs of the program at a time.
    static let maxPublishers = 8

    private let context: ShimContext
    private let reaper: Reaper
    private let publisher: EventPublisher?
    private var running = 0
    private var waiting: [EnvelopeMessage] = []
    /// Called when nothing waits any more.
    var onIdle: () -> Void = {} {
        didSet { publisher?.onIdle = onIdle }
    }

    init(_ context: ShimContext, loop: EventLoop, reaper: Reaper) {
        self.context = context
        self.reaper = reaper
        publisher = context.eventsAddress.isEmpty ? nil : EventPublisher(loop: loop, address: context.eventsAddress)
    }

    var isIdle: Bool { publisher?.isIdle ?? (running == 0) }

    func publish(_ topic: String, _ event: some WireMessage) {
        var envelope = EnvelopeMessage()
        envelope.timestamp = .now()
        envelope.namespace = context.namespace
        envelope.topic = topic
        envelope.event = event.asAny
        if let publisher { return publisher.publish(envelope) }
        guard !context.publisher.isEmpty else { return }
        if running < EventSink.maxPublishers { run(envelope) } else { enqueue(envelope) }
    }

    private func enqueue(_ envelope: EnvelopeMessage) {
        if waiting.count >= EventPublisher.maxQueuedEvents { waiting.removeFirst() }
        waiting.append(envelope)
    }

    /// The program reads the event's `Any` from its standard input.
    private func run(_ envelope: EnvelopeMessage) {
        guard let event = envelope.event, let input = try? MemoryFile.make("event", event.encoded(), sealed: false),
            let null = try? Files.open("/dev/null", O_RDWR)
        else { return }
        let arguments = [
            "--address", context.grpcAddress, "publish", "--topic", envelope.topic, "--namespace", envelope.namespace,
        ]
        let pid = try? Spawn.start(
            context.publisher, arguments,
            environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            descriptors: [input.rawValue, null.rawValue, null.rawValue])
        guard let pid else { return }
        running += 1
        reaper.expect(pid) { [unowned self] _ in
            running -= 1
            if !waiting.isEmpty { run(waiting.removeFirst()) } else if running == 0 { onIdle() }
        }
    }
}
