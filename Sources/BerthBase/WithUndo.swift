internal import Synchronization

/// The undo steps of a handler, run in reverse when it throws.
public final class UndoStack: Sendable {
    /// An undo step that itself failed.
    public struct Failure: Sendable {
        /// What the step was to undo.
        public let label: String
        /// Why it could not.
        public let error: any Error
    }

    private let steps = Mutex<[(label: String, body: @Sendable () async throws -> Void)]>([])

    /// Registers how to undo what was just done; `label` says what, for the failure report.
    public func add(_ label: String, _ body: @escaping @Sendable () async throws -> Void) {
        steps.withLock { $0.append((label, body)) }
    }

    /// Runs every step, last registered first, and reports those that failed.
    func unwind() async -> [Failure] {
        let all = steps.withLock { steps in
            defer { steps.removeAll() }
            return steps
        }
        var failures: [Failure] = []
        for step in all.reversed() {
            do { try await step.body() } catch { failures.append(Failure(label: step.label, error: error)) }
        }
        return failures
    }
}

/// Runs `body`; if it throws, undoes what it registered, in reverse, shielded from the caller's cancellation.
///
/// - Parameter onFailedUndo: called with the undo steps that failed, so that the caller can keep a record of
///   what is left. The original error is thrown in any case.
public func withUndo<T: Sendable>(
    onFailedUndo: @Sendable ([UndoStack.Failure]) async -> Void = { _ in },
    _ body: (UndoStack) async throws -> T
) async throws -> T {
    let undo = UndoStack()
    do {
        return try await body(undo)
    } catch {
        // A task of its own: undo steps must run to their end although the caller may be cancelled.
        let failures = await Task { await undo.unwind() }.value
        if !failures.isEmpty { await onFailedUndo(failures) }
        throw error
    }
}
