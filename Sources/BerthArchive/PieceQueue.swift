internal import Dispatch
internal import Glibc
internal import Synchronization

/// A bounded queue of buffers between the thread that decompresses and the one that writes files. The buffers are
/// made once and go round: fresh memory is dear.
// SAFETY: a buffer is with one thread at a time; it changes hands under the mutex, after a semaphore counted it.
final class PieceQueue: @unchecked Sendable {
    /// The number and size of the buffers.
    static let depth = 8
    static let pieceSize = 512 * 1024

    private struct State {
        var free = Array(0..<PieceQueue.depth)
        var filled: [(buffer: Int, count: Int)] = []
        var ended = false
        var failure: (any Error)?
    }

    private let state: Mutex<State>
    private let freeCount = DispatchSemaphore(value: 0)
    private let filledCount = DispatchSemaphore(value: 0)
    /// The buffer that the producer fills, and how far.
    private var current: Int?
    private var fill = 0
    private let buffers: [UnsafeMutableRawBufferPointer]

    init() {
        buffers = (0..<Self.depth).map { _ in .allocate(byteCount: Self.pieceSize, alignment: 4096) }
        state = Mutex(State())
        for _ in 0..<Self.depth { freeCount.signal() }
    }

    deinit {
        // A semaphore must not go with a smaller value than it began with; these began with nought.
        for buffer in buffers { buffer.deallocate() }
    }

    // MARK: The producer

    /// Copies bytes in; waits while all buffers are full.
    ///
    /// - Throws: the consumer's error, once it has failed.
    func append(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let buffer = buffers[try writable()]
            let count = min(rest.count, buffer.count - fill)
            UnsafeMutableRawBufferPointer(rebasing: buffer[fill..<fill + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
            rest = rest.dropFirst(count)
            fill += count
            if fill == buffer.count { hand() }
        }
    }

    private func writable() throws -> Int {
        if let current { return current }
        freeCount.wait()
        let buffer = try state.withLock { state in
            if let failure = state.failure { throw failure }
            return state.free.removeLast()
        }
        (current, fill) = (buffer, 0)
        return buffer
    }

    private func hand() {
        guard let buffer = current else { return }
        current = nil
        state.withLock { $0.filled.append((buffer, fill)) }
        filledCount.signal()
    }

    /// Hands over what is there and says that no more comes.
    func end() {
        if fill > 0 { hand() }
        state.withLock { $0.ended = true }
        filledCount.signal()
    }

    // MARK: The consumer

    /// Runs `body` over the buffers as they come, to the end. Its error stops the producer.
    func consume(_ body: (UnsafeRawBufferPointer) throws -> Void) {
        while true {
            filledCount.wait()
            guard let piece = state.withLock({ $0.filled.isEmpty ? nil : $0.filled.removeFirst() }) else { return }
            if failure == nil {
                let bytes = UnsafeRawBufferPointer(rebasing: buffers[piece.buffer][..<piece.count])
                do { try body(bytes) } catch { fail(error) }
            }
            state.withLock { $0.free.append(piece.buffer) }
            freeCount.signal()
        }
    }

    /// The consumer's error.
    var failure: (any Error)? { state.withLock { $0.failure } }

    func fail(_ error: any Error) {
        state.withLock { if $0.failure == nil { $0.failure = error } }
    }
}

/// A thread of its own that is waited for.
struct Worker: ~Copyable {
    private var thread = pthread_t()

    // SAFETY: the box is made here, taken by the new thread, and nobody else sees it.
    private final class Body: @unchecked Sendable {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// nil if the system has no thread to give.
    init?(_ body: @escaping () -> Void) {
        let box = Unmanaged.passRetained(Body(body))
        let result = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        guard result == 0 else {
            box.release()
            return nil
        }
    }

    /// Waits for its end.
    consuming func join() { pthread_join(thread, nil) }
}
