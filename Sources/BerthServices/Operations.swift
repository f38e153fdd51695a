public import BerthBase
public import BerthKernel

/// One operation in flight, as `berth ops` shows it.
public struct OperationInfo: Sendable, Hashable {
    /// A number of its own since the daemon's start.
    public var id: UInt64
    /// What: `RunPodSandbox`, `PullImage`.
    public var kind: String
    /// On which thing: a pod's name, an image.
    public var subject: String
    /// For whom: the peer's process and user.
    public var caller: String
    /// The step it is at.
    public var stage: String
    /// What that step waits for, if anything.
    public var waitingFor: String
    /// When it began.
    public var startedAt: Timestamp
    /// Callers that wait for its result; 0: it goes on without one.
    public var waiters: Int
    /// Makes an info.
    public init(
        id: UInt64, kind: String, subject: String, caller: String, stage: String, waitingFor: String,
        startedAt: Timestamp, waiters: Int
    ) {
        self.id = id
        self.kind = kind
        self.subject = subject
        self.caller = caller
        self.stage = stage
        self.waitingFor = waitingFor
        self.startedAt = startedAt
        self.waiters = waiters
    }
}

/// Names an operation, for joining and for people.
public struct OperationKey: Sendable, Hashable {
    /// What: the RPC's name.
    public var kind: String
    /// Two calls with the same kind and identity are one operation, e.g. the pod's metadata.
    public var identity: String
    /// What a joining call must have in common, e.g. a digest of the configuration; another one is refused.
    public var fingerprint: String
    /// For people.
    public var subject: String
    /// For whom.
    public var caller: String
    /// Makes a key.
    public init(kind: String, identity: String, fingerprint: String = "", subject: String, caller: String = "") {
        self.kind = kind
        self.identity = identity
        self.fingerprint = fingerprint
        self.subject = subject
        self.caller = caller
    }
}

/// Lets a running operation say where it is.
public protocol OperationStage: Sendable {
    /// Names the step, and what it waits for.
    func enter(_ stage: String, waitingFor: String)
}

/// The table of what is in flight. A retried call joins the one under way; a caller that gives up detaches.
public protocol OperationTable: Sendable {
    /// Runs `body` as a task of its own until its own `deadline`, or joins the operation under way with the same
    /// kind and identity. A caller that is cancelled detaches; the body goes on. A result nobody took is kept for
    /// ten minutes for the retry, then `abandon` undoes it.
    /// - Throws: what the body throws; `alreadyExists` when one under way has another fingerprint;
    ///   `deadlineExceeded` naming the stage and what it waited for.
    func run<T: Sendable>(
        _ key: OperationKey, deadline: Duration,
        abandon: (@Sendable (T) async -> Void)?,
        _ body: @escaping @Sendable (any OperationStage) async throws -> T
    ) async throws -> T
    /// What is in flight, oldest first.
    func list() async -> [OperationInfo]
}

extension ServiceKey where Interface == any OperationTable {
    /// The table of operations.
    public static var operations: Self { Self("operations") }
}
