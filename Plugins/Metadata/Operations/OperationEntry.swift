internal import BerthBase
internal import BerthServices

/// Where an operation is; written by its body, read by whoever lists.
final class OperationProgress: OperationStage {
    struct Place: Sendable {
        var stage = "starting"
        var waitingFor = ""
    }
    private let place = Shared(Place())

    func enter(_ stage: String, waitingFor: String) {
        place.withLock { $0 = Place(stage: stage, waitingFor: waitingFor) }
    }

    var now: Place { place.withLock { $0 } }
}

/// Two calls with the same one are one operation.
struct OperationIdentity: Hashable {
    let kind: String
    let identity: String
    init(_ key: OperationKey) {
        kind = key.kind
        identity = key.identity
    }
}

/// One operation of the table.
struct OperationEntry {
    enum Phase {
        /// Its body runs, before its deadline.
        case running
        /// Its deadline has passed; its body has been cancelled and has not ended yet.
        case overdue
        /// Its body has ended; its result waits for a retry.
        case kept(any Sendable)
        /// Its result is being undone.
        case undoing
    }

    let id: UInt64
    let key: OperationKey
    let resultType: ObjectIdentifier
    let startedAt: Timestamp
    let deadline: Duration
    let progress: OperationProgress
    let abandon: (@Sendable (any Sendable) async -> Void)?
    var phase = Phase.running
    var waiters: [UInt64: CheckedContinuation<any Sendable, any Error>] = [:]
    var body: Task<Void, Never>?
    var timer: Task<Void, Never>?

    /// Whether its body or the undoing of it runs.
    var hasBody: Bool { if case .kept = phase { false } else { true } }

    /// `RunPodSandbox 'web'' (operation 7)`.
    var name: String { "\(key.kind) '\(key.subject)' (operation \(id))" }

    /// What a caller is told when the deadline has passed.
    var overdue: BerthError {
        let place = progress.now
        let wait = place.waitingFor.isEmpty ? "" : ", waiting for \(place.waitingFor)"
        return BerthError(
            .deadlineExceeded, "\(name): not done within \(deadline); it is at stage '\(place.stage)'\(wait)")
    }

    var info: OperationInfo {
        var place = progress.now
        switch phase {
        case .running: break
        case .overdue: place.stage = "cancelled at its deadline, in \(place.stage)"
        case .kept: place = .init(stage: "done", waitingFor: "a retry that takes its result")
        case .undoing: place.stage = "undoing what nobody took"
        }
        return OperationInfo(
            id: id, kind: key.kind, subject: key.subject, caller: key.caller, stage: place.stage,
            waitingFor: place.waitingFor, startedAt: startedAt, waiters: waiters.count)
    }
}
