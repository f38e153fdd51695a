public import BerthBase
public import BerthKernel

/// An event as containerd's clients see it.
public struct EventEnvelope: Sendable, Hashable {
    /// A number that grows by one with each event of this daemon's journal; a client resumes after it.
    public var sequence: UInt64
    /// When it was published.
    public var timestamp: Timestamp
    /// The namespace it is about.
    public var namespace: NamespaceID
    /// `/tasks/exit` and its like.
    public var topic: String
    /// The event's message.
    public var event: AnyMessage
    /// Makes an envelope; the bus sets the sequence.
    public init(namespace: NamespaceID, topic: String, event: AnyMessage, timestamp: Timestamp = .now()) {
        sequence = 0
        self.timestamp = timestamp
        self.namespace = namespace
        self.topic = topic
        self.event = event
    }
}

/// Publishes events to whoever listens, and keeps the last ones for those that resume.
public protocol EventBus: Sendable {
    /// Publishes; never blocks on a subscriber.
    func publish(_ event: EventEnvelope) async
    /// Events after `sequence` (nil: from now on). A subscriber that falls behind its queue's limit gets
    /// `resourceExhausted` with the last sequence it saw, and subscribes again.
    func subscribe(after sequence: UInt64?) async -> AsyncThrowingStream<EventEnvelope, any Error>
}

extension ServiceKey where Interface == any EventBus {
    /// The event bus.
    public static var events: Self { Self("events") }
}
