internal import BerthBase
internal import BerthKernel
internal import BerthServices
internal import Logging

/// When collections come: some time after the start, shortly after something was removed, when a lease expires, and
/// on schedule; never so often that they take more than their share of the time.
struct SweepSchedule: Sendable {
    let config: SweeperConfig
    let clock: any Clock<Duration>
    let logger: Logger
    let sweeper: GarbageSweeper

    /// Runs until it is cancelled.
    func run(
        hints: AsyncStream<GarbageHint>, report: @escaping @Sendable (PluginHealth) -> Void
    ) async throws {
        let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let (events, event) = AsyncStream<GarbageHint>.makeStream(bufferingPolicy: .bufferingNewest(16))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { for await hint in hints { event.yield(hint) } }
            group.addTask { try await expiries(events, wake) }
            if config.scheduleMinutes > 0 {
                group.addTask {
                    while true {
                        try await clock.sleep(for: .seconds(config.scheduleMinutes * 60))
                        wake.yield()
                    }
                }
            }
            group.addTask {
                try await clock.sleep(for: .seconds(config.startupDelaySeconds))
                wake.yield()
                for await _ in wakes {
                    // What is removed in the meantime goes with this collection.
                    try await clock.sleep(for: .milliseconds(config.delayMilliseconds))
                    try await collect(report)
                    // What expired is gone: the timer waits for the next.
                    event.yield(.expires)
                }
            }
            try await group.waitForAll()
        }
    }

    private func collect(_ report: @Sendable (PluginHealth) -> Void) async throws {
        if let reason = try await sweeper.pauseReason() {
            report(
                .degraded(
                    "nothing is collected by itself: \(reason); look with `berth gc --dry-run`, then run `berth gc`"))
            return
        }
        let begin = ContinuousClock.now
        do {
            let result = try await sweeper.collectByItself()
            report(.healthy)
            if !result.removed.isEmpty {
                logger.info(
                    "garbage collected", metadata: ["removed": "\(result.removed.count)", "kept": "\(result.kept)"])
            }
        } catch let error as BerthError {
            // The next one tries again; a full disk or a driver that is away must not end the schedule.
            report(.degraded("the last collection failed: \(error)"))
        }
        let took = ContinuousClock.now - begin
        try await clock.sleep(for: took * (100 / config.maxPercent - 1))
    }

    /// Turns hints into wakes, at once for removals and at the moment of the earliest expiry.
    private func expiries(_ hints: AsyncStream<GarbageHint>, _ wake: AsyncStream<Void>.Continuation) async throws {
        var timer: Task<Void, Never>?
        defer { timer?.cancel() }
        func set() async -> Task<Void, Never>? {
            guard let next = try? await sweeper.nextExpiry() else { return nil }
            let wait = Duration.nanoseconds(max(0, next.nanoseconds - Timestamp.now().nanoseconds))
            return Task {
                guard (try? await clock.sleep(for: wait)) != nil else { return }
                wake.yield()
            }
        }
        timer = await set()
        for await hint in hints {
            switch hint {
            case .removed: wake.yield()
            case .expires:
                timer?.cancel()
                timer = await set()
            }
        }
    }
}
