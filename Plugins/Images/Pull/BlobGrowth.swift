internal import BerthBase
internal import Synchronization
internal import SystemPackage

/// A blob on its way from a registry to the store, as a reader that follows it sees it.
final class BlobGrowth: Sendable {
    /// What a follower finds when it looks.
    enum Step: Sendable {
        /// The file has this many bytes.
        case grown(FilePath, Int64)
        /// The blob is in the store, verified.
        case stored
        /// What was there is gone: another server began anew.
        case restarted
    }

    private struct State {
        var path: FilePath?
        var available: Int64 = 0
        var restarts = 0
        var end: Result<Void, any Error>?
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        /// Grows with every change, so that a waiter misses none.
        var version = 0
        var nextWaiter = 0
    }

    private let state = Mutex(State())

    private func change(_ body: (inout State) -> Void) {
        let waiting = state.withLock { state in
            body(&state)
            state.version += 1
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }

    /// A file begins to grow from `available` bytes.
    func begin(_ path: FilePath?, _ available: Int64) {
        change {
            $0.path = path
            $0.available = available
        }
    }

    func advance(to available: Int64) { change { $0.available = available } }

    func restart() {
        change {
            $0.available = 0
            $0.restarts += 1
        }
    }

    func finish(_ end: Result<Void, any Error>) { change { $0.end = $0.end ?? end } }

    /// How often what was there went away.
    var restarts: Int { state.withLock { $0.restarts } }

    /// Waits until there is more than `offset`, or an end.
    ///
    /// - Throws: why the blob will not come.
    func next(after offset: Int64, since restarts: Int) async throws -> Step {
        try await wait { state in
            if let end = state.end {
                try end.get()
                return .stored
            }
            if state.restarts != restarts { return .restarted }
            guard let path = state.path, state.available > offset else { return nil }
            return .grown(path, state.available)
        }
    }

    /// Waits until the blob is in the store.
    func stored() async throws { try await wait { try $0.end?.get() } }

    private func wait<T: Sendable>(_ look: @Sendable (State) throws -> T?) async throws -> T {
        while true {
            try Task.checkCancellation()
            let (found, version) = try state.withLock { (try look($0), $0.version) }
            if let found { return found }
            await changed(since: version)
        }
    }

    private func changed(since version: Int) async {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let resumeNow = state.withLock { state -> Bool in
                    if Task.isCancelled || state.version != version { return true }
                    state.waiting[id] = continuation
                    return false
                }
                if resumeNow { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
    }
}
