internal import BerthBase
internal import BerthServices

/// One journal in memory that all subscribers read at their own pace: it is everybody's bounded queue.
///
/// Sequence numbers are `epoch << 32 | count`. A subscriber whose next event has left the journal gets
/// `resourceExhausted`; one that resumes after a number the journal does not know gets `outOfRange`.
actor JournalEventBus: EventBus {
    private let config: EventsConfig
    /// The number before this daemon's first event.
    private let base: UInt64
    private var last: UInt64
    private var journal: [EventEnvelope] = []
    /// Events at the front of `journal` that are gone; it is cut when they are the greater half.
    private var dropped = 0
    private var bytes = 0
    private var waiters: [UInt64: CheckedContinuation<Void, any Error>] = [:]
    private var lastWaiter: UInt64 = 0
    private var isClosed = false

    init(config: EventsConfig, epoch: UInt64) {
        self.config = config
        base = epoch << 32
        last = base
    }

    func publish(_ event: EventEnvelope) {
        last += 1
        var event = event
        event.sequence = last
        journal.append(event)
        bytes += size(event)
        // The newest event stays, however large it is.
        while kept > 1, kept > config.journalEvents || bytes > config.journalBytes {
            bytes -= size(journal[dropped])
            dropped += 1
        }
        if dropped > journal.count / 2 {
            journal.removeFirst(dropped)
            dropped = 0
        }
        wake()
    }

    func subscribe(after sequence: UInt64?) -> AsyncThrowingStream<EventEnvelope, any Error> {
        let cursor = Shared(sequence ?? self.last)
        let isKnown = sequence.map { $0 <= self.last && $0 >= firstKept - 1 } ?? true
        let first = firstKept
        let newest = self.last
        return AsyncThrowingStream { [self] in
            let after = cursor.withLock { $0 }
            guard isKnown else {
                throw BerthError(
                    .outOfRange,
                    """
                    subscribe after event \(after): the journal holds \(first) to \(newest); list what there is and \
                    subscribe anew
                    """)
            }
            guard let event = try await next(after: after) else { return nil }
            cursor.withLock { $0 = event.sequence }
            return event
        }
    }

    /// Subscribers that wait for the next event.
    var waiting: Int { waiters.count }

    private var kept: Int { journal.count - dropped }
    private var firstKept: UInt64 { last - UInt64(kept) + 1 }

    private func size(_ event: EventEnvelope) -> Int { event.event.value.count + 256 }

    /// The event after a number, waiting for it if need be; nil when the bus is closed.
    private func next(after sequence: UInt64) async throws -> EventEnvelope? {
        while true {
            if sequence < last {
                guard sequence + 1 >= firstKept else {
                    throw BerthError(
                        .resourceExhausted,
                        """
                        events after \(sequence): the subscriber fell more than \(config.journalEvents) events or \
                        \(config.journalBytes) bytes behind; list what there is and subscribe anew
                        """)
                }
                return journal[dropped + Int(sequence + 1 - firstKept)]
            }
            if isClosed { return nil }
            try await waitForEvent()
        }
    }

    private func waitForEvent() async throws {
        guard waiters.count < config.maxSubscribers else {
            throw BerthError(
                .resourceExhausted, "subscribe to events: there are \(config.maxSubscribers) subscribers already")
        }
        lastWaiter += 1
        let id = lastWaiter
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                waiters[id] = continuation
            }
        } onCancel: {
            Task { await leave(id) }
        }
    }

    private func leave(_ id: UInt64) { waiters.removeValue(forKey: id)?.resume(throwing: CancellationError()) }

    private func wake() {
        let all = waiters
        waiters = [:]
        for continuation in all.values { continuation.resume() }
    }

    /// Ends every subscription after what it has still to read.
    func close() {
        isClosed = true
        wake()
    }
}
