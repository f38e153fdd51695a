internal import BerthBase
internal import Logging

/// The kernel's side of one plugin: its stop steps and its background work.
final class PluginRuntime: PluginLifecycle {
    /// A named step.
    struct Step: Sendable {
        let label: String
        let body: @Sendable () async throws -> Void
    }
    private struct State {
        var stops: [Step] = []
        var works: [Step] = []
        var tasks: [Task<Void, Never>] = []
        var isLive = false
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

    func run(_ label: String, _ body: @escaping @Sendable () async throws -> Void) {
        let step = Step(label: label, body: body)
        board.change(id) { $0.background.append(label) }
        let isLive = state.withLock { state in
            if !state.isLive { state.works.append(step) }
            return state.isLive
        }
        if isLive { launch(step) }
    }

    func report(_ health: PluginHealth) {
        let before = board.report(id)?.state
        let new: PluginState
        switch health {
        case .healthy: new = .running
        case .degraded(let why): new = .degraded(why)
        }
        guard before?.isRunning == true || before == .starting, before != new else { return }
        if before?.isRunning == true { board.set(id, new) }
        logger.notice("plugin health changed", metadata: ["state": "\(new)"])
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
                report(.degraded("\(step.label): \(error)"))
            }
        }
        state.withLock { $0.tasks.append(task) }
    }

    /// Ends background work, then runs the stop steps, last registered first; both within `deadline`.
    func stop(within deadline: Duration) async {
        let (tasks, stops) = state.withLock { state in
            defer {
                state.tasks = []
                state.stops = []
                state.works = []
                state.isLive = false
            }
            return (state.tasks, state.stops)
        }
        for task in tasks { task.cancel() }
        let work = Task {
            for task in tasks { await task.value }
            for step in stops.reversed() { try? await step.body() }
        }
        if await !finishes(work, within: deadline) {
            logger.error("plugin did not stop in time and is left behind", metadata: ["deadline": "\(deadline)"])
        }
    }

    private func finishes(_ work: Task<Void, Never>, within deadline: Duration) async -> Bool {
        let (stream, continuation) = AsyncStream<Bool>.makeStream()
        let waiter = Task {
            await work.value
            continuation.yield(true)
        }
        let timer = Task {
            try? await Task.sleep(for: deadline)
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
