internal import BerthBase
internal import Logging

/// What must be undone although it does not work now, as on a full disk: tried again until it does, or until the next
/// start, which looks for leftovers.
struct CleanupQueue: Sendable {
    /// The most steps that wait; beyond it the newest are left to the next start.
    static let maxWaiting = 1024
    /// The pause between two tries.
    static let pause: Duration = .seconds(2)
    /// How often the caller itself tries, with short pauses: room is often free again at once.
    static let patience = 5

    private struct Step: Sendable {
        let what: String
        let body: @Sendable () async throws -> Void
    }

    private let steps: AsyncStream<Step>
    private let continuation: AsyncStream<Step>.Continuation

    init() { (steps, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.maxWaiting)) }

    /// Does it now, shielded from the caller's cancellation, or later. What is gone already is done.
    func insist(_ what: String, _ body: @escaping @Sendable () async throws -> Void) async {
        await Task {
            for attempt in 1...Self.patience {
                if await Self.isDone(body) { return }
                try? await Task.sleep(for: .milliseconds(20 << attempt))
            }
            continuation.yield(Step(what: what, body: body))
        }.value
    }

    private static func isDone(_ body: @Sendable () async throws -> Void) async -> Bool {
        do { try await body() } catch { return (error as? BerthError)?.code == .notFound }
        return true
    }

    /// Works until the task is cancelled.
    func run(_ logger: Logger) async throws {
        for await step in steps {
            logger.warning("a step of a failed pull is tried again", metadata: ["step": "\(step.what)"])
            while !(await Self.isDone(step.body)) { try await Task.sleep(for: Self.pause) }
        }
    }
}
