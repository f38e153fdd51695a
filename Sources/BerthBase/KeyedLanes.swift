/// Runs work of one key in order of arrival, and of different keys in parallel.
///
/// The order of everything that happens to one pod comes from here. A waiter whose task is cancelled leaves the
/// queue with `CancellationError`; work that has begun is not interrupted by the lane.
public actor KeyedLanes<Key: Hashable & Sendable> {
    /// The most callers that wait for one key before further ones are refused with `resourceExhausted`.
    public static var maxWaiters: Int { 1024 }

    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Void, any Error>
    }

    private var waiting: [Key: [Waiter]] = [:]
    private var nextID: UInt64 = 0

    /// Makes lanes with nobody in them.
    public init() {}

    /// The number of keys that are held now.
    public var heldKeys: Int { waiting.count }

    /// Waits for the key, runs `body`, and hands the key to the next waiter.
    nonisolated(nonsending) public func run<T: Sendable>(
        _ key: Key, _ body: () async throws -> T
    ) async throws -> T {
        try await acquire(key)
        do {
            let value = try await body()
            await release(key)
            return value
        } catch {
            await release(key)
            throw error
        }
    }

    private func acquire(_ key: Key) async throws {
        try Task.checkCancellation()
        guard waiting[key] != nil else {
            waiting[key] = []
            return
        }
        guard waiting[key, default: []].count < Self.maxWaiters else {
            throw BerthError(.resourceExhausted, "\(Self.maxWaiters) calls already wait for '\(key)'")
        }
        nextID += 1
        let id = nextID
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    waiting[key, default: []].append(Waiter(id: id, continuation: continuation))
                }
            }
        } onCancel: {
            Task { await self.leave(key, id) }
        }
    }

    private func leave(_ key: Key, _ id: UInt64) {
        guard let index = waiting[key]?.firstIndex(where: { $0.id == id }) else { return }
        waiting[key]?.remove(at: index).continuation.resume(throwing: CancellationError())
    }

    private func release(_ key: Key) {
        guard var queue = waiting[key], !queue.isEmpty else {
            waiting[key] = nil
            return
        }
        let next = queue.removeFirst()
        waiting[key] = queue
        next.continuation.resume()
    }
}
