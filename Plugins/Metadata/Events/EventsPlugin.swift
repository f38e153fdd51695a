internal import BerthBase
package import BerthKernel
internal import BerthServices

/// Settings of `events.bus`.
package struct EventsConfig: PluginConfig {
    /// The most events the journal keeps; a subscriber that is further behind has lost some and is told so.
    package var journalEvents = 4096
    /// The most bytes the journal keeps.
    package var journalBytes = 4 << 20
    /// The most subscribers that wait at once; more are refused.
    package var maxSubscribers = 1024

    package init() {}

    package static var keys: [ConfigKey] {
        [
            ConfigKey("journal_events", "the most events kept for subscribers that are behind or resume"),
            ConfigKey("journal_bytes", "the most bytes of events kept"),
            ConfigKey("max_subscribers", "the most subscribers that wait at once; more are refused"),
        ]
    }

    package func validate() throws {
        for (name, value) in [
            ("journal_events", journalEvents), ("journal_bytes", journalBytes), ("max_subscribers", maxSubscribers),
        ]
        where value < 1 { throw BerthError(.invalidArgument, "\(name) is \(value) and must be at least 1") }
    }
}

extension Plugin {
    /// Events with sequence numbers, and the last ones for clients that resume.
    package static let eventBus = Plugin(
        "bus", provides: .events, config: EventsConfig.self, requires: .one(.metadata)
    ) { context, metadata in
        // Each start has sequence numbers of its own: one taken in an earlier life is not mistaken for one of this.
        let epoch = try await metadata.write { writer in
            let before = try writer.value("epoch", table: "events.bus")
            let next = (before.flatMap { UInt64(String(decoding: $0, as: UTF8.self)) } ?? 0) + 1
            try writer.setValue(Array("\(next)".utf8), for: "epoch", table: "events.bus")
            return next
        }
        let bus = JournalEventBus(config: context.config, epoch: epoch)
        context.onStop("end subscriptions") { await bus.close() }
        return bus
    }
}
