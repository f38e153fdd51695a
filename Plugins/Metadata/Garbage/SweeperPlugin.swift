internal import BerthBase
package import BerthKernel
internal import BerthServices

/// Settings of `gc.sweeper`.
package struct SweeperConfig: PluginConfig {
    /// Whether it collects by itself; `berth gc` works in any case.
    package var automatic = true
    /// How long after the start the first collection comes, in seconds.
    package var startupDelaySeconds = 10
    /// How long after something was removed a collection comes, in milliseconds; what is removed meanwhile goes with
    /// it.
    package var delayMilliseconds = 500
    /// How often it collects without being asked, in minutes; 0 is never.
    package var scheduleMinutes = 60
    /// The most of the time that collections take, in percent: one that was long is followed by a long pause.
    package var maxPercent = 2
    /// The most rows that one transaction removes.
    package var batch = 64
    /// How long an unfinished download is kept that nobody goes on with, in hours.
    package var ingestHours = 24
    /// How long bytes without a row are kept, in minutes: the row may be on its way.
    package var orphanMinutes = 60

    package init() {}

    package static var keys: [ConfigKey] {
        [
            ConfigKey("automatic", "whether it collects by itself; `berth gc` works in any case"),
            ConfigKey("startup_delay_seconds", "how long after the start the first collection comes"),
            ConfigKey("delay_milliseconds", "how long after something was removed a collection comes"),
            ConfigKey("schedule_minutes", "how often it collects without being asked; 0 is never"),
            ConfigKey(
                "max_percent", "the most of the time that collections take: a long one is followed by a long pause"),
            ConfigKey("batch", "the most rows that one transaction removes"),
            ConfigKey("ingest_hours", "how long an unfinished download is kept that nobody goes on with"),
            ConfigKey("orphan_minutes", "how long bytes without a row are kept: the row may be on its way"),
        ]
    }

    package func validate() throws {
        let least = [
            ("startup_delay_seconds", startupDelaySeconds, 0), ("delay_milliseconds", delayMilliseconds, 0),
            ("schedule_minutes", scheduleMinutes, 0), ("max_percent", maxPercent, 1), ("batch", batch, 1),
            ("ingest_hours", ingestHours, 0), ("orphan_minutes", orphanMinutes, 0),
        ]
        for (name, value, lowest) in least where value < lowest || value > 1_000_000 {
            throw BerthError(.invalidArgument, "\(name) is \(value) and must be \(lowest) to 1000000")
        }
        guard maxPercent <= 100 else {
            throw BerthError(.invalidArgument, "max_percent is \(maxPercent) and must be 1 to 100")
        }
    }
}

extension Plugin {
    /// Collects what nothing refers to.
    package static let garbageSweeper = Plugin(
        "sweeper", provides: .garbage, config: SweeperConfig.self,
        requires: .one(.metadata), .one(.content), .one(.snapshots)
    ) { context, metadata, content, snapshots in
        let sweeper = GarbageSweeper(
            config: context.config, metadata: metadata, content: content, snapshots: snapshots, logger: context.logger)
        if context.config.automatic {
            let schedule = SweepSchedule(
                config: context.config, clock: ContinuousClock(), logger: context.logger, sweeper: sweeper)
            context.run("collect") {
                try await schedule.run(hints: await metadata.hints()) { context.report($0) }
            }
        }
        return sweeper
    }
}
