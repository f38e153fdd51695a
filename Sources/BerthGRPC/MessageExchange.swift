internal import BerthBase
internal import Synchronization

// SAFETY (for the whole file): `Bytes` point into a buffer of nghttp2, valid during the call that hands them over;
// what outlives it is copied.

/// The messages of one streaming call, between the loop's thread and a task: both directions bounded.
final class MessageExchange: Sendable {
    /// How much may wait, each way.
    struct Room: Sendable {
        let unread: Int
        let unsent: Int
    }
    private struct Sender {
        let ticket: UInt64
        let continuation: CheckedContinuation<Void, any Error>
    }
    private struct State {
        var incoming: [[UInt8]] = []
        var incomingBytes = 0
        var incomingHasEnded = false
        /// Bytes whose window is not opened because the reader is slow.
        var withheld = 0
        var reader: CheckedContinuation<[UInt8]?, any Error>?
        var outgoing = OutgoingMessages()
        var outgoingHasEnded = false
        var senders: [Sender] = []
        var nextTicket: UInt64 = 1
        /// Nobody will call `fill` before being told that there is something.
        var isDeferred = true
        var failure: BerthError?
    }
    private let state = Mutex(State())
    private let room: Room

    init(_ room: Room) { self.room = room }

    // MARK: the loop's side

    /// Takes `cost` received bytes that completed these messages; how many of them to open the window for now.
    func deliver(_ messages: [[UInt8]], cost: Int) -> Int {
        let (open, wake) = state.withLock { state -> (Int, (() -> Void)?) in
            guard state.failure == nil else { return (cost, nil) }
            for message in messages {
                state.incoming.append(message)
                state.incomingBytes += message.count + OutgoingMessages.prefixBytes
            }
            var wake: (() -> Void)?
            if let reader = state.reader, !state.incoming.isEmpty {
                state.reader = nil
                let message = takeFirst(&state)
                wake = { reader.resume(returning: message) }
            }
            guard state.incomingBytes > room.unread else { return (cost, wake) }
            state.withheld += cost
            return (0, wake)
        }
        wake?()
        return open
    }

    /// The peer sends no more messages.
    func endIncoming() {
        let reader = state.withLock { state -> CheckedContinuation<[UInt8]?, any Error>? in
            state.incomingHasEnded = true
            guard state.incoming.isEmpty else { return nil }
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(returning: nil)
    }

    /// The call is over: who waits gets this, and so does who comes later. After messages already received, if
    /// `afterIncoming`.
    func fail(_ error: BerthError, afterIncoming: Bool = false) {
        let (reader, senders) = state.withLock {
            state -> (CheckedContinuation<[UInt8]?, any Error>?, [Sender]) in
            guard state.failure == nil else { return (nil, []) }
            state.failure = error
            if !afterIncoming { state.incoming = [] }
            state.outgoing.removeAll()
            defer {
                state.reader = nil
                state.senders = []
            }
            return (state.reader, state.senders)
        }
        reader?.resume(throwing: error)
        for sender in senders { sender.continuation.resume(throwing: error) }
    }

    /// Copies what is to be sent.
    func fill(_ buffer: UnsafeMutableRawBufferPointer) -> (count: Int, isOver: Bool) {
        let (count, isOver, ready) = state.withLock { state -> (Int, Bool, [Sender]) in
            let count = unsafe state.outgoing.fill(buffer)
            let isOver = state.outgoing.isEmpty && state.outgoingHasEnded
            state.isDeferred = count == 0 && !isOver
            guard state.outgoing.bytes <= room.unsent else { return (count, isOver, []) }
            defer { state.senders = [] }
            return (count, isOver, state.senders)
        }
        for sender in ready { sender.continuation.resume() }
        return (count, isOver)
    }

    // MARK: the task's side

    /// The next message; nil at the end. `opened` gets the bytes whose window may be opened now.
    func next(opened: (Int) -> Void) async throws -> [UInt8]? {
        let message: [UInt8]?? = try state.withLock { state in
            if !state.incoming.isEmpty { return .some(takeFirst(&state)) }
            if let failure = state.failure { throw failure }
            return state.incomingHasEnded ? .some(nil) : nil
        }
        if let message {
            opened(takeWithheld())
            return message
        }
        let late = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { wait($0) }
        } onCancel: {
            cancelReader()
        }
        opened(takeWithheld())
        return late
    }

    private func wait(_ continuation: CheckedContinuation<[UInt8]?, any Error>) {
        let answer = state.withLock { state -> Result<[UInt8]?, any Error>? in
            if Task.isCancelled { return .failure(CancellationError()) }
            if !state.incoming.isEmpty { return .success(takeFirst(&state)) }
            if let failure = state.failure { return .failure(failure) }
            if state.incomingHasEnded { return .success(nil) }
            guard state.reader == nil else {
                return .failure(
                    BerthError(.failedPrecondition, "read the messages of a call: another read waits"))
            }
            state.reader = continuation
            return nil
        }
        if let answer { continuation.resume(with: answer) }
    }

    private func cancelReader() {
        let reader = state.withLock { state in
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(throwing: CancellationError())
    }

    private func takeFirst(_ state: inout State) -> [UInt8] {
        let message = state.incoming.removeFirst()
        state.incomingBytes -= message.count + OutgoingMessages.prefixBytes
        return message
    }

    private func takeWithheld() -> Int {
        state.withLock { state in
            guard state.incomingBytes <= room.unread else { return 0 }
            defer { state.withheld = 0 }
            return state.withheld
        }
    }

    /// Queues a message and waits while too much is queued. `queued` is called when the loop has to look.
    func send(_ message: [UInt8], queued: () -> Void) async throws {
        let (look, full, ticket) = try state.withLock { state -> (Bool, Bool, UInt64) in
            if let failure = state.failure { throw failure }
            guard !state.outgoingHasEnded else {
                throw BerthError(.failedPrecondition, "send a message: the stream has ended")
            }
            state.outgoing.push(message)
            state.nextTicket += 1
            let look = state.isDeferred
            state.isDeferred = false
            return (look, state.outgoing.bytes > room.unsent, state.nextTicket)
        }
        if look { queued() }
        guard full else { return }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { wait(ticket, $0) }
        } onCancel: {
            cancelSender(ticket)
        }
    }

    private func wait(_ ticket: UInt64, _ continuation: CheckedContinuation<Void, any Error>) {
        let answer = state.withLock { state -> Result<Void, any Error>? in
            if Task.isCancelled { return .failure(CancellationError()) }
            if let failure = state.failure { return .failure(failure) }
            if state.outgoing.bytes <= room.unsent { return .success(()) }
            state.senders.append(Sender(ticket: ticket, continuation: continuation))
            return nil
        }
        if let answer { continuation.resume(with: answer) }
    }

    private func cancelSender(_ ticket: UInt64) {
        let sender = state.withLock { state -> Sender? in
            guard let index = state.senders.firstIndex(where: { $0.ticket == ticket }) else { return nil }
            return state.senders.remove(at: index)
        }
        sender?.continuation.resume(throwing: CancellationError())
    }

    /// Whether messages wait to be sent.
    var hasOutgoing: Bool { state.withLock { !$0.outgoing.isEmpty } }

    /// No more messages are sent; whether the loop has to look.
    func endOutgoing() -> Bool {
        state.withLock { state in
            state.outgoingHasEnded = true
            defer { state.isDeferred = false }
            return state.isDeferred
        }
    }
}
