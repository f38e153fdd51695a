internal import BerthBase
internal import BerthServices
internal import Logging

/// Operations as tasks of their own, joined by kind and identity.
///
/// An entry leaves the table when its body has ended and its result was taken or undone. A body that does not end
/// when its deadline cancels it stays listed, and the next call with its identity waits for it (up to its own
/// deadline): two bodies of one identity never run at once.
actor JoiningOperationTable: OperationTable {
    /// How long `close` waits for bodies to end after they were cancelled.
    static let closeDeadline = Duration.seconds(10)

    private let config: OperationsConfig
    private let clock: any Clock<Duration>
    private let logger: Logger
    private var entries: [UInt64: OperationEntry] = [:]
    /// The entry a call with this identity joins; an overdue or undone one is not joined.
    private var current: [OperationIdentity: UInt64] = [:]
    /// Successors that wait until no earlier body of their identity runs.
    private var turns: [OperationIdentity: [UInt64: CheckedContinuation<Void, any Error>]] = [:]
    private var lastID: UInt64 = 0
    private var isClosed = false

    init(config: OperationsConfig, clock: any Clock<Duration>, logger: Logger) {
        self.config = config
        self.clock = clock
        self.logger = logger
    }

    func list() -> [OperationInfo] { entries.values.map(\.info).sorted { $0.id < $1.id } }

    func run<T: Sendable>(
        _ key: OperationKey, deadline: Duration, abandon: (@Sendable (T) async -> Void)?,
        _ body: @escaping @Sendable (any OperationStage) async throws -> T
    ) async throws -> T {
        try Task.checkCancellation()
        let id: UInt64
        if let known = try joinable(key, as: T.self) {
            if case .kept(let value) = entries[known]?.phase {
                remove(known)
                return try cast(value, key)
            }
            id = known
        } else {
            let undo: (@Sendable (any Sendable) async -> Void)?
            if let abandon { undo = { if let value = $0 as? T { await abandon(value) } } } else { undo = nil }
            id = try begin(key, ObjectIdentifier(T.self), deadline, undo) { try await body($0) }
        }
        return try cast(try await wait(for: id), key)
    }

    private func cast<T>(_ value: any Sendable, _ key: OperationKey) throws -> T {
        guard let value = value as? T else {
            throw BerthError(.internal, "\(key.kind) '\(key.subject)': its result is a \(type(of: value))")
        }
        return value
    }

    /// The operation that a call joins, if there is one.
    private func joinable<T>(_ key: OperationKey, as type: T.Type) throws -> UInt64? {
        guard let id = current[OperationIdentity(key)], let entry = entries[id] else { return nil }
        guard entry.key.fingerprint == key.fingerprint, entry.resultType == ObjectIdentifier(type) else {
            if case .kept = entry.phase {
                // Its caller has gone and this one wants something else: undo the old result, then begin anew.
                undo(id)
                return nil
            }
            throw BerthError(
                .alreadyExists,
                """
                \(key.kind) '\(key.subject)': \(entry.name) is under way with another configuration, at stage \
                '\(entry.progress.now.stage)'
                """)
        }
        return id
    }

    private func begin(
        _ key: OperationKey, _ resultType: ObjectIdentifier, _ deadline: Duration,
        _ abandon: (@Sendable (any Sendable) async -> Void)?,
        _ body: @escaping @Sendable (any OperationStage) async throws -> any Sendable
    ) throws -> UInt64 {
        guard !isClosed else { throw BerthError(.unavailable, "\(key.kind) '\(key.subject)': the daemon is stopping") }
        guard entries.count < config.maxOperations else {
            throw BerthError(
                .resourceExhausted,
                "\(key.kind) '\(key.subject)': \(config.maxOperations) operations are in flight; `berth ops` lists them"
            )
        }
        lastID += 1
        let id = lastID
        let progress = OperationProgress()
        entries[id] = OperationEntry(
            id: id, key: key, resultType: resultType, startedAt: .now(), deadline: deadline, progress: progress,
            abandon: abandon)
        let identity = OperationIdentity(key)
        let hasPredecessor = entries.values.contains { $0.id != id && OperationIdentity($0.key) == identity }
        current[identity] = id
        entries[id]?.body = Task {
            do {
                if hasPredecessor {
                    progress.enter("waiting for its turn", waitingFor: "the end of an earlier \(key.kind)")
                    try await turn(of: id, identity)
                    progress.enter("starting", waitingFor: "")
                }
                ended(id, .success(try await body(progress)))
            } catch { ended(id, .failure(error)) }
        }
        entries[id]?.timer = Task { [clock] in
            guard (try? await clock.sleep(for: deadline)) != nil else { return }
            expire(id)
        }
        return id
    }

    // MARK: Waiting

    private func wait(for id: UInt64) async throws -> any Sendable {
        guard (entries[id]?.waiters.count ?? 0) < config.maxWaiters else {
            let name = entries[id]?.name ?? "the operation"
            throw BerthError(.resourceExhausted, "\(name): \(config.maxWaiters) callers already wait for it")
        }
        lastID += 1
        let waiter = lastID
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                // A cancellation before this point found no waiter to release.
                guard !Task.isCancelled, entries[id] != nil else {
                    return continuation.resume(throwing: CancellationError())
                }
                entries[id]?.waiters[waiter] = continuation
            }
        } onCancel: {
            Task { await detach(waiter, from: id) }
        }
    }

    private func detach(_ waiter: UInt64, from id: UInt64) {
        guard let continuation = entries[id]?.waiters.removeValue(forKey: waiter) else { return }
        continuation.resume(throwing: CancellationError())
    }

    /// Waits until no earlier body of this identity runs.
    private func turn(of id: UInt64, _ identity: OperationIdentity) async throws {
        while entries.values.contains(where: { $0.id < id && OperationIdentity($0.key) == identity }) {
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                    if Task.isCancelled { return continuation.resume(throwing: CancellationError()) }
                    turns[identity, default: [:]][id] = continuation
                }
            } onCancel: {
                Task { await loseTurn(id, identity) }
            }
        }
    }

    private func loseTurn(_ id: UInt64, _ identity: OperationIdentity) {
        turns[identity]?.removeValue(forKey: id)?.resume(throwing: CancellationError())
    }

    // MARK: Endings

    private func ended(_ id: UInt64, _ result: Result<any Sendable, any Error>) {
        guard let entry = entries[id] else { return }
        entry.timer?.cancel()
        switch (result, entry.phase) {
        case (.success(let value), .running):
            if entry.waiters.isEmpty { return keep(id, value) }
            remove(id)
            for waiter in entry.waiters.values { waiter.resume(returning: value) }
        case (.success(let value), _):
            // Done after its deadline: its callers have been told that it failed.
            entries[id]?.phase = .kept(value)
            undo(id)
        case (.failure(let error), _):
            if entry.waiters.isEmpty, !(error is CancellationError) {
                logger.info(
                    "an operation failed that nobody waited for",
                    metadata: ["operation": "\(entry.name)", "error": "\(error)"])
            }
            remove(id)
            for waiter in entry.waiters.values { waiter.resume(throwing: error) }
        }
    }

    private func expire(_ id: UInt64) {
        guard let entry = entries[id], case .running = entry.phase else { return }
        let error = entry.overdue
        logger.warning(
            "an operation passed its deadline", metadata: ["operation": "\(entry.name)", "error": "\(error)"])
        entries[id]?.phase = .overdue
        entries[id]?.waiters = [:]
        current[OperationIdentity(entry.key)] = nil
        entry.body?.cancel()
        for waiter in entry.waiters.values { waiter.resume(throwing: error) }
    }

    private func keep(_ id: UInt64, _ value: any Sendable) {
        entries[id]?.phase = .kept(value)
        let time = Duration.seconds(config.keepSeconds)
        entries[id]?.timer = Task { [clock] in
            guard (try? await clock.sleep(for: time)) != nil else { return }
            undo(id)
        }
    }

    /// Undoes a kept result; the entry stays until that is done, so that a successor waits for it.
    private func undo(_ id: UInt64) {
        guard let entry = entries[id], case .kept(let value) = entry.phase else { return }
        let identity = OperationIdentity(entry.key)
        if current[identity] == id { current[identity] = nil }
        entry.timer?.cancel()
        guard let abandon = entry.abandon else { return remove(id) }
        entries[id]?.phase = .undoing
        logger.notice("undoing an operation whose result nobody took", metadata: ["operation": "\(entry.name)"])
        Task {
            await abandon(value)
            remove(id)
        }
    }

    private func remove(_ id: UInt64) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        entry.timer?.cancel()
        let identity = OperationIdentity(entry.key)
        if current[identity] == id { current[identity] = nil }
        for continuation in (turns.removeValue(forKey: identity) ?? [:]).values { continuation.resume() }
    }

    /// Cancels what runs and waits for it a while. Kept results stay as they are: their rows say what there is, and
    /// recovery takes it from there.
    func close() async {
        isClosed = true
        for entry in entries.values {
            entry.timer?.cancel()
            entry.body?.cancel()
        }
        let end = ContinuousClock.now + Self.closeDeadline
        while entries.values.contains(where: \.hasBody), ContinuousClock.now < end {
            try? await Task.sleep(for: .milliseconds(10))
        }
        for entry in entries.values where entry.hasBody {
            logger.error("an operation did not end", metadata: ["operation": "\(entry.name)"])
        }
    }
}
