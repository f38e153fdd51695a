internal import BerthBase
internal import BerthKernel
package import BerthServices
internal import BerthShimAPI
package import BerthShimClient
package import Logging

/// Runs tasks in shims: keeps what they are in memory, learns exits from the shims, and finds both again after a
/// restart of the daemon.
package actor ShimTaskManager: TaskManager {
    /// How long a killed task may take to be reported as ended.
    static let exitPatience = Duration.seconds(15)
    /// How long a shim may take to say where a task is at the daemon's start.
    static let statePatience = Duration.seconds(5)

    let shims: ShimRegistry
    let logger: Logger
    let lanes = KeyedLanes<TaskRef>()
    var entries: [TaskRef: TaskEntry] = [:]
    /// One for each shim that has tasks here.
    var monitors: [ShimKey: Task<Void, Never>] = [:]
    var waiters: [TaskRef: [UInt64: CheckedContinuation<ExitStatus, any Error>]] = [:]
    var listeners: [UInt64: AsyncStream<(TaskRef, ExitStatus)>.Continuation] = [:]
    var nextNumber: UInt64 = 0
    private var losses: Task<Void, Never>?

    package init(_ shims: ShimRegistry, logger: Logger) {
        self.shims = shims
        self.logger = logger
    }

    /// Takes over the tasks of the daemon's earlier life; to be called once, before anything else.
    package func adopt() async {
        for (bundle, intent) in await shims.bundlesAtStart where intent.kind == .task {
            let ref = TaskRef(bundle.namespace, ContainerID(bundle.id))
            let shim = ShimKey(bundle.namespace, intent.sandbox.isEmpty ? bundle.id : intent.sandbox)
            entries[ref] = TaskEntry(shim: shim, bundle: bundle)
            entries[ref]?.recovering = Task { await self.recover(ref) }
        }
        let stream = await shims.losses()
        // Each by itself: what cannot be killed in one pod must not hold up the news of another.
        losses = Task { for await loss in stream { Task { await self.lost(loss) } } }
    }

    package func close() {
        losses?.cancel()
        for monitor in monitors.values { monitor.cancel() }
        for entry in entries.values { entry.recovering?.cancel() }
        for listener in listeners.values { listener.finish() }
        let waiting = waiters.values.flatMap(\.values)
        waiters = [:]
        for waiter in waiting { waiter.resume(throwing: BerthError(.cancelled, "the daemon stops")) }
        (monitors, listeners) = ([:], [:])
    }

    // MARK: who is it

    static func missing(_ ref: TaskRef) -> BerthError {
        BerthError(.notFound, "there is no task '\(ref.container)' in namespace '\(ref.namespace)'")
    }

    /// The entry, after its recovery if need be.
    func entry(_ ref: TaskRef) async throws -> TaskEntry {
        if let recovering = entries[ref]?.recovering {
            await ShimRegistry.wait(for: recovering, atMost: ShimRegistry.recoveryPatience)
        }
        guard let entry = entries[ref] else { throw Self.missing(ref) }
        guard !entry.isCreating else {
            throw BerthError(.unavailable, "the task '\(ref.container)' is still being created")
        }
        return entry
    }

    /// The shim of a task that exists.
    func shim(of ref: TaskRef) async throws -> Shim { try await shims.shim(try await entry(ref).shim) }

    // MARK: exits

    /// Notes an exit and tells those who wait for it.
    func record(_ status: ExitStatus, of ref: TaskRef) {
        guard entries[ref]?.exited(status) == true else { return }
        for waiter in (waiters.removeValue(forKey: ref) ?? [:]).values { waiter.resume(returning: status) }
        for listener in listeners.values { listener.yield((ref, status)) }
    }

    package func wait(_ ref: TaskRef) async throws -> ExitStatus {
        if let exit = try await entry(ref).exit { return exit }
        nextNumber += 1
        let number = nextNumber
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                guard let entry = entries[ref] else { return continuation.resume(throwing: Self.missing(ref)) }
                if let exit = entry.exit { return continuation.resume(returning: exit) }
                waiters[ref, default: [:]][number] = continuation
            }
        } onCancel: {
            Task { await self.stopWaiting(ref, number) }
        }
    }

    private func stopWaiting(_ ref: TaskRef, _ number: UInt64) {
        waiters[ref]?.removeValue(forKey: number)?.resume(throwing: CancellationError())
    }

    package func exits() -> AsyncStream<(TaskRef, ExitStatus)> {
        // Each task exits once: the queue cannot hold more than there were tasks.
        let (stream, continuation) = AsyncStream.makeStream(
            of: (TaskRef, ExitStatus).self, bufferingPolicy: .unbounded)
        nextNumber += 1
        let number = nextNumber
        for (ref, entry) in entries { if let exit = entry.exit { continuation.yield((ref, exit)) } }
        listeners[number] = continuation
        continuation.onTermination = { _ in Task { await self.stopListening(number) } }
        return stream
    }

    private func stopListening(_ number: UInt64) { listeners[number] = nil }

    // MARK: state

    package func info(_ ref: TaskRef) async throws -> TaskInfo {
        let entry = try await entry(ref)
        guard entry.state == .unknown, entry.exit == nil else { return entry.info }
        // Its shim did not answer when it was found; perhaps it does now.
        if let shim = try? await shims.shim(entry.shim) { try? await ask(shim, about: ref, within: .seconds(2)) }
        return entries[ref]?.info ?? entry.info
    }

    package func recovered() async {
        await shims.recovered()
        let tasks = entries.values.compactMap(\.recovering)
        let all = Task { for task in tasks { await task.value } }
        await ShimRegistry.wait(for: all, atMost: ShimRegistry.recoveryPatience)
    }
}
