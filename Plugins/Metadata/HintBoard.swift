internal import BerthBase
internal import BerthServices

/// Passes hints to those who collect. A reader that is slow gets the newest ones.
final class HintBoard: Sendable {
    private struct State {
        var lastID = 0
        var readers: [Int: AsyncStream<GarbageHint>.Continuation] = [:]
    }
    private let state = Shared(State())

    func subscribe() -> AsyncStream<GarbageHint> {
        let (stream, continuation) = AsyncStream<GarbageHint>.makeStream(bufferingPolicy: .bufferingNewest(16))
        let id = state.withLock { state in
            state.lastID += 1
            state.readers[state.lastID] = continuation
            return state.lastID
        }
        continuation.onTermination = { [state] _ in state.withLock { $0.readers[id] = nil } }
        return stream
    }

    func post(_ hints: Set<GarbageHint>) {
        guard !hints.isEmpty else { return }
        for reader in state.withLock({ Array($0.readers.values) }) {
            for hint in hints { reader.yield(hint) }
        }
    }
}

/// What one transaction gives to know, posted once it is committed.
final class TransactionHints: Sendable {
    private let hints = Shared<Set<GarbageHint>>([])

    var all: Set<GarbageHint> { hints.withLock { $0 } }

    func removed() { hints.withLock { _ = $0.insert(.removed) } }

    /// Notes what a change of labels means.
    func changed(from before: [String: String]?, to after: [String: String]) {
        if let before, GarbageLabels.loses(before, after) { removed() }
        if after[GarbageLabels.expire] != nil { hints.withLock { _ = $0.insert(.expires) } }
    }
}
