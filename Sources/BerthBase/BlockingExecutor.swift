internal import Dispatch

/// Runs an actor on a thread of its own, so that its methods may block: on files, on a lock, on a library.
///
/// ```swift
/// actor Driver {
///     private let executor = BlockingExecutor("driver")
///     nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
/// }
/// ```
public final class BlockingExecutor: SerialExecutor {
    private let queue: DispatchQueue

    /// Makes an executor; the label is its queue's name in a debugger.
    public init(_ label: String) { queue = DispatchQueue(label: label) }

    /// Takes a job of the actor; they run one after the other.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
