internal import BerthBase
internal import BerthServices
internal import Synchronization

/// What is in the database, in memory: changed after each commit, read by lists without a query.
final class PodTable: Sendable {
    /// Changes that a watcher may be behind before it is ended.
    static let maxQueuedChanges = 1024

    private struct Waiter {
        let container: ContainerID
        let continuation: CheckedContinuation<ContainerRow, any Error>
    }

    private struct State {
        var pods: [PodID: PodRow] = [:]
        var containers: [ContainerID: ContainerRow] = [:]
        var podIdentities: [String: PodID] = [:]
        var containerIdentities: [String: ContainerID] = [:]
        var revision: UInt64 = 1
        var waiters: [UInt64: Waiter] = [:]
        var watchers: [UInt64: AsyncStream<PodChange>.Continuation] = [:]
        var nextTicket: UInt64 = 0
    }
    private let state = Mutex(State())

    var revision: UInt64 { state.withLock { $0.revision } }

    // MARK: pods

    func put(_ row: PodRow) {
        state.withLock { state in
            state.pods[row.id] = row
            state.podIdentities[row.identity] = row.id
            state.revision += 1
        }
    }

    func remove(_ row: PodRow) {
        state.withLock { state in
            state.pods[row.id] = nil
            if state.podIdentities[row.identity] == row.id { state.podIdentities[row.identity] = nil }
            state.revision += 1
        }
    }

    func pod(_ id: PodID) -> PodRow? { state.withLock { $0.pods[id] } }

    func pod(identity: String) -> PodRow? {
        state.withLock { state in state.podIdentities[identity].flatMap { state.pods[$0] } }
    }

    func pods(in namespace: NamespaceID?) -> [PodRow] {
        state.withLock { state in
            state.pods.values.filter { namespace == nil || $0.namespace == namespace }
        }.sorted { $0.origin.createdAt < $1.origin.createdAt }
    }

    // MARK: containers

    func put(_ row: ContainerRow) {
        let ended = state.withLock { state -> [Waiter] in
            state.containers[row.id] = row
            state.containerIdentities[row.identity] = row.id
            state.revision += 1
            return row.hasEnded ? Self.takeWaiters(of: row.id, &state) : []
        }
        for waiter in ended { waiter.continuation.resume(returning: row) }
    }

    func remove(_ row: ContainerRow) {
        let waiting = state.withLock { state -> [Waiter] in
            state.containers[row.id] = nil
            if state.containerIdentities[row.identity] == row.id { state.containerIdentities[row.identity] = nil }
            state.revision += 1
            return Self.takeWaiters(of: row.id, &state)
        }
        for waiter in waiting { waiter.continuation.resume(throwing: Self.missing(row.id)) }
    }

    func container(_ id: ContainerID) -> ContainerRow? { state.withLock { $0.containers[id] } }

    func container(identity: String) -> ContainerRow? {
        state.withLock { state in state.containerIdentities[identity].flatMap { state.containers[$0] } }
    }

    func containers(in namespace: NamespaceID?) -> [ContainerRow] {
        state.withLock { state in
            state.containers.values.filter { namespace == nil || $0.namespace == namespace }
        }.sorted { $0.origin.createdAt < $1.origin.createdAt }
    }

    func containers(of pod: PodID) -> [ContainerRow] {
        state.withLock { state in state.containers.values.filter { $0.origin.pod == pod } }
    }

    // MARK: waiting

    private static func takeWaiters(of id: ContainerID, _ state: inout State) -> [Waiter] {
        let mine = state.waiters.filter { $0.value.container == id }
        for ticket in mine.keys { state.waiters[ticket] = nil }
        return Array(mine.values)
    }

    static func missing(_ id: ContainerID) -> BerthError { BerthError(.notFound, "there is no container '\(id)'") }

    /// Waits until the container has ended.
    /// - Throws: `notFound`, also when it is removed meanwhile; `CancellationError`.
    func ended(_ id: ContainerID) async throws -> ContainerRow {
        let ticket = state.withLock { state in
            state.nextTicket += 1
            return state.nextTicket
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let answer = state.withLock { state -> Result<ContainerRow, any Error>? in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    guard let row = state.containers[id] else { return .failure(Self.missing(id)) }
                    if row.hasEnded { return .success(row) }
                    state.waiters[ticket] = Waiter(container: id, continuation: continuation)
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: ticket) }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }

    // MARK: watching

    func watch() -> AsyncStream<PodChange> {
        AsyncStream(bufferingPolicy: .bufferingOldest(Self.maxQueuedChanges)) { continuation in
            let ticket = state.withLock { state in
                state.nextTicket += 1
                state.watchers[state.nextTicket] = continuation
                return state.nextTicket
            }
            continuation.onTermination = { [weak self] _ in
                self?.state.withLock { $0.watchers[ticket] = nil }
            }
        }
    }

    /// Tells the watchers; one whose queue is full is ended, so that it asks for lists again.
    func announce(_ change: PodChange) {
        let watchers = state.withLock { Array($0.watchers.values) }
        for watcher in watchers {
            if case .dropped = watcher.yield(change) { watcher.finish() }
        }
    }
}
