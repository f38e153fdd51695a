internal import BerthBase
internal import Logging

/// The kernel's side of one plugin: its stop steps, its background work, its health.
final class PluginRuntime: PluginLifecycle {
    /// A named step.
    struct Step: Sendable {
        let label: String
        let body: @Sendable () async throws -> Void
    }
    private struct State {
        var stops: [Step] = []
        var works: [Step] = []
        var tasks: [(label: String, task: Task<Void, Never>)] = []
        var reload: (@Sendable (any PluginConfig) async throws -> Void)?
        var isLive = false
        var hasStarted = false
        var reported = PluginHealth.healthy
        /// Background work that failed, and why: it does not come back before a restart.
        var failures: [String] = []

        var health: PluginState {
            var reasons = failures
            if case .degraded(let why) = reported { reasons.insert(why, at: 0) }
            return reasons.isEmpty ? .running : .degraded(reasons.joined(separator: "; "))
        }
    }

    let id: PluginID
    private let state = Shared(State())
    private let board: StatusBoard
    private let logger: Logger

    init(id: PluginID, board: StatusBoard, logger: Logger) {
        self.id = id
        self.board = board
        self.logger = logger
    }

    func onStop(_ label: String, _ body: @escaping @Sendable () async -> Void) {
        state.withLock { $0.stops.append(Step(label: label, body: body)) }
    }

    func onReload(_ body: @escaping @Sendable (any PluginConfig) async throws -> Void) {
        state.withLock { $0.reload = body }
    }

    func run(_ label: String, _ body: @escaping @Sendable () async throws -> Void) {
        let step = Step(label: label, body: body)
        board.change(id) { $0.background.append(label) }
        let isLive = state.withLock { state in
            if !state.isLive { state.works.append(step) }
            return state.isLive
        }
        if isLive { launch(step) }
    }

    func report(_ health: PluginHealth) { change { $0.reported = health } }

    /// Shows the health once the plugin has started; before that it is kept.
    private func change(_ body: @Sendable (inout State) -> Void) {
        let (new, isShown) = state.withLock { state in
            body(&state)
            return (state.health, state.hasStarted)
        }
        guard isShown, let before = board.report(id)?.state, before.isRunning, before != new else { return }
        board.set(id, new)
        logger.notice("plugin health changed", metadata: ["state": "\(new)"])
    }

    /// Whether the plugin takes new settings while it runs.
    var canReload: Bool { state.withLock { $0.reload != nil } }

    /// Hands new settings over.
    func reload(_ config: any PluginConfig) async throws {
        try await state.withLock { $0.reload }?(config)
    }

    /// The plugin works from now on.
    func started(after time: Duration) {
        let health = state.withLock { state in
            state.hasStarted = true
            return state.health
        }
        board.change(id) {
            $0.startTime = time
            $0.state = health
        }
        if health != .running { logger.notice("plugin health changed", metadata: ["state": "\(health)"]) }
    }

    /// Begins the background work: all plugins have started.
    func goLive() {
        let works = state.withLock { state in
            state.isLive = true
            return state.works
        }
        for work in works { launch(work) }
    }

    private func launch(_ step: Step) {
        let task = Task { [self] in
            do { try await step.body() } catch {
                if Task.isCancelled || error is CancellationError { return }
                logger.error("background work failed", metadata: ["work": "\(step.label)", "error": "\(error)"])
                change { $0.failures.append("\(step.label): \(error)") }
            }
        }
        state.withLock { $0.tasks.append((step.label, task)) }
    }

    /// Ends background work within half the deadline, then runs the stop steps, last registered first, in what is
    /// left. Work that does not end does not keep the steps from running.
    ///
    /// - Returns: the names of what did not end in time and was left behind.
    func stop(within deadline: Duration) async -> [String] {
        let (tasks, stops) = state.withLock { state in
            defer { state = State() }
            return (state.tasks, state.stops)
        }
        let end = ContinuousClock.now + deadline
        for entry in tasks { entry.task.cancel() }
        var late = await unfinished(tasks, until: .now + deadline / 2)
        for step in stops.reversed() {
            let task = Task<Void, Never> { try? await step.body() }
            late += await unfinished([(step.label, task)], until: end)
        }
        if !late.isEmpty {
            logger.error(
                "plugin did not stop in time",
                metadata: ["left": "\(late.joined(separator: ", "))", "deadline": "\(deadline)"])
        }
        return late
    }

    private func unfinished(
        _ tasks: [(label: String, task: Task<Void, Never>)], until end: ContinuousClock.Instant
    ) async -> [String] {
        var late: [String] = []
        for entry in tasks where await !finishes(entry.task, until: end) { late.append(entry.label) }
        return late
    }

    private func finishes(_ work: Task<Void, Never>, until end: ContinuousClock.Instant) async -> Bool {
        let (stream, continuation) = AsyncStream<Bool>.makeStream()
        let waiter = Task {
            await work.value
            continuation.yield(true)
        }
        let timer = Task {
            try? await Task.sleep(until: end)
            continuation.yield(false)
        }
        defer {
            waiter.cancel()
            timer.cancel()
        }
        for await result in stream { return result }
        return false
    }
}
