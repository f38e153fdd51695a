internal import BerthBase
package import BerthSystem
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The process at the other end of a unix socket when it connected.
package struct PeerIdentity: Sendable, Hashable {
    package var pid: Int32
    package var uid: UInt32
    package var gid: UInt32

    package init(pid: Int32, uid: UInt32, gid: UInt32) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
    }
}

/// A socket, a pipe's end or a FIFO with waiting reads and writes.
///
/// Nothing is buffered here: `read` returns what the kernel has, `write` returns when the kernel has it all. One
/// task reads at a time; writes of several tasks are kept whole and in order. The descriptor is closed by `close`,
/// or when the last reference ends.
package final class Stream: Sendable {
    /// Writers that may wait behind one whose peer does not read.
    package static let maxWaitingWriters = 1024

    private let core: StreamCore

    /// Takes over a descriptor that epoll can watch (no regular file) and makes it non-blocking.
    package init(_ descriptor: consuming OwnedFD, on loop: EventLoop) throws {
        core = try StreamCore(descriptor, loop)
    }

    deinit { core.close() }

    /// At least one byte and at most `max`; empty at the end of the stream.
    ///
    /// - Throws: `cancelled` when the task is or the stream was closed here, `unavailable` when the peer was lost,
    ///   `failedPrecondition` while another read waits.
    package func read(max: Int) async throws -> [UInt8] {
        if let now = try core.tryRead(max) { return now }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { core.wait(toRead: max, $0) }
        } onCancel: {
            core.cancelRead()
        }
    }

    /// Exactly `count` bytes.
    ///
    /// - Throws: as `read`; `unavailable` when the stream ends before.
    package func read(exactly count: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let part = try await read(max: count - bytes.count)
            if part.isEmpty {
                throw BerthError(.unavailable, "read \(count) bytes: the stream ended after \(bytes.count)")
            }
            if bytes.isEmpty { bytes = part } else { bytes += part }
        }
        return bytes
    }

    /// Writes all bytes. A cancelled task's write that has begun goes on, because a torn message would spoil the
    /// stream for the others; `close` ends it.
    ///
    /// - Throws: `cancelled`, `unavailable` as `read`, `resourceExhausted` when too many writers wait.
    package func write(_ bytes: [UInt8]) async throws {
        try Task.checkCancellation()
        guard let (ticket, rest) = try core.tryWrite(bytes) else { return }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { core.wait(toWrite: rest, ticket, $0) }
        } onCancel: {
            core.cancelWrite(ticket)
        }
    }

    /// Tells the peer that no more will be written; for sockets.
    package func shutdownWrite() { core.shutdownWrite() }

    /// Closes the descriptor; who waits gets `cancelled`. Again is harmless.
    package func close() { core.close() }

    /// Who is at the other end of a unix socket; nil for anything else.
    package var peer: PeerIdentity? { core.withDescriptor { SocketAddress.peer(of: $0) } }
}

/// The descriptor of a stream and who waits for it. A class of its own, so that the loop does not keep the stream.
final class StreamCore: EventHandler {
    private struct Reader {
        let max: Int
        let continuation: CheckedContinuation<[UInt8], any Error>
    }
    private struct Writer {
        let ticket: UInt64
        var rest: ArraySlice<UInt8>
        var hasBegun: Bool
        var continuation: CheckedContinuation<Void, any Error>?
        /// Cancelled before its continuation came.
        var isCancelled = false
    }
    private struct State {
        var descriptor: Int32
        var token: EventLoop.Token?
        var reader: Reader?
        var writers: [Writer] = []
        var nextTicket: UInt64 = 1
        /// A read was cancelled before its continuation came.
        var readCancelled = false
    }
    private let state: Mutex<State>
    private let loop: EventLoop

    init(_ descriptor: consuming OwnedFD, _ loop: EventLoop) throws {
        self.loop = loop
        let number = descriptor.rawValue
        try attempting("make descriptor \(number) non-blocking") { () throws(Errno) in
            let flags = try check(fcntl(number, F_GETFL))
            try check(fcntl(number, F_SETFL, flags | O_NONBLOCK))
        }
        state = Mutex(State(descriptor: descriptor.release()))
        do {
            let token = try loop.watch(number, self)
            state.withLock { $0.token = token }
        } catch {
            state.withLock { $0.descriptor = -1 }
            Glibc.close(number)
            throw BerthError(error, "watch descriptor \(number)")
        }
    }

    deinit { close() }

    func withDescriptor<T>(_ body: (Int32) -> T?) -> T? {
        state.withLock { state in state.descriptor < 0 ? nil : body(state.descriptor) }
    }

    func ready(_ events: EventLoop.Events) {
        let wake = state.withLock { state -> [@Sendable () -> Void] in
            guard state.descriptor >= 0 else { return [] }
            return progressRead(&state) + progressWrites(&state)
        }
        for resume in wake { resume() }
    }

    private func progressRead(_ state: inout State) -> [@Sendable () -> Void] {
        guard let reader = state.reader else { return [] }
        do {
            guard let bytes = try Self.read(state.descriptor, reader.max) else { return [] }
            state.reader = nil
            return [{ reader.continuation.resume(returning: bytes) }]
        } catch {
            state.reader = nil
            return [{ reader.continuation.resume(throwing: error) }]
        }
    }

    private func progressWrites(_ state: inout State) -> [@Sendable () -> Void] {
        var wake: [@Sendable () -> Void] = []
        while var writer = state.writers.first {
            // One whose continuation is not there yet sets itself going when it comes.
            guard let continuation = writer.continuation else { break }
            do {
                writer.hasBegun = true
                try Self.write(state.descriptor, &writer.rest)
                state.writers[0] = writer
                if !writer.rest.isEmpty { break }
                state.writers.removeFirst()
                wake.append { continuation.resume() }
            } catch {
                state.writers.removeFirst()
                wake.append { continuation.resume(throwing: error) }
            }
        }
        return wake
    }

    // MARK: reading

    func tryRead(_ max: Int) throws -> [UInt8]? {
        try state.withLock { state in
            guard state.descriptor >= 0 else { throw Self.closed }
            guard state.reader == nil else {
                throw BerthError(.failedPrecondition, "read a stream: another read waits")
            }
            state.readCancelled = false
            return try Self.read(state.descriptor, max)
        }
    }

    func wait(toRead max: Int, _ continuation: CheckedContinuation<[UInt8], any Error>) {
        let wake = state.withLock { state -> [@Sendable () -> Void] in
            if state.readCancelled { return [{ continuation.resume(throwing: CancellationError()) }] }
            if state.descriptor < 0 { return [{ continuation.resume(throwing: Self.closed) }] }
            if state.reader != nil {
                let error = BerthError(.failedPrecondition, "read a stream: another read waits")
                return [{ continuation.resume(throwing: error) }]
            }
            state.reader = Reader(max: max, continuation: continuation)
            // The edge may have passed between the first try and now.
            return progressRead(&state)
        }
        for resume in wake { resume() }
    }

    func cancelRead() {
        let reader = state.withLock { state -> Reader? in
            defer { state.reader = nil }
            state.readCancelled = true
            return state.reader
        }
        reader?.continuation.resume(throwing: CancellationError())
    }

    // MARK: writing

    /// Writes what the kernel takes now; the place in the queue and the rest, if any.
    func tryWrite(_ bytes: [UInt8]) throws -> (ticket: UInt64, rest: ArraySlice<UInt8>)? {
        try state.withLock { state in
            guard state.descriptor >= 0 else { throw Self.closed }
            var rest = bytes[...]
            if state.writers.isEmpty {
                try Self.write(state.descriptor, &rest)
                if rest.isEmpty { return nil }
            }
            guard state.writers.count < Stream.maxWaitingWriters else {
                throw BerthError(
                    .resourceExhausted, "write a stream: \(state.writers.count) writers wait already")
            }
            let ticket = state.nextTicket
            state.nextTicket += 1
            let hasBegun = rest.count < bytes.count
            state.writers.append(Writer(ticket: ticket, rest: rest, hasBegun: hasBegun))
            return (ticket, rest)
        }
    }

    func wait(
        toWrite rest: ArraySlice<UInt8>, _ ticket: UInt64,
        _ continuation: CheckedContinuation<Void, any Error>
    ) {
        let wake = state.withLock { state -> [@Sendable () -> Void] in
            guard let index = state.writers.firstIndex(where: { $0.ticket == ticket }) else {
                return [{ continuation.resume(throwing: Self.closed) }]
            }
            if state.writers[index].isCancelled, !state.writers[index].hasBegun {
                state.writers.remove(at: index)
                return [{ continuation.resume(throwing: CancellationError()) }] + progressWrites(&state)
            }
            state.writers[index].continuation = continuation
            return progressWrites(&state)
        }
        for resume in wake { resume() }
    }

    func cancelWrite(_ ticket: UInt64) {
        let continuation = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard let index = state.writers.firstIndex(where: { $0.ticket == ticket }) else { return nil }
            guard !state.writers[index].hasBegun else { return nil }
            guard let continuation = state.writers[index].continuation else {
                state.writers[index].isCancelled = true
                return nil
            }
            state.writers.remove(at: index)
            return continuation
        }
        continuation?.resume(throwing: CancellationError())
    }

    // MARK: the end

    func shutdownWrite() { _ = withDescriptor { shutdown($0, Int32(SHUT_WR)) } }

    func close() {
        let wake = state.withLock { state -> [@Sendable () -> Void] in
            guard state.descriptor >= 0 else { return [] }
            if let token = state.token { loop.forget(token, state.descriptor) }
            Glibc.close(state.descriptor)
            state.descriptor = -1
            var wake: [@Sendable () -> Void] = []
            if let reader = state.reader { wake.append { reader.continuation.resume(throwing: Self.closed) } }
            for case .some(let continuation) in state.writers.map(\.continuation) {
                wake.append { continuation.resume(throwing: Self.closed) }
            }
            state.reader = nil
            state.writers = []
            return wake
        }
        for resume in wake { resume() }
    }

    private static let closed = BerthError(.cancelled, "the stream was closed")

    // MARK: system calls

    /// What the kernel has, nil if nothing yet; empty at the end.
    private static func read(_ descriptor: Int32, _ max: Int) throws -> [UInt8]? {
        var failure: Errno?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: max) { buffer, count in
            // SAFETY: the buffer has room for `max` bytes; `count` is set to those written.
            do throws(Errno) {
                count = try retrying { unsafe Glibc.read(descriptor, buffer.baseAddress, max) }
            } catch {
                failure = error
            }
        }
        switch failure {
        case nil: return bytes
        case .resourceTemporarilyUnavailable: return nil
        case .some(let errno): throw lost(errno, "read a stream")
        }
    }

    /// Writes until all is gone or the kernel takes no more.
    private static func write(_ descriptor: Int32, _ rest: inout ArraySlice<UInt8>) throws {
        while !rest.isEmpty {
            do throws(Errno) {
                // SAFETY: the buffer is as long as its count says. SIGPIPE is ignored by every process of ours.
                let count = try retrying {
                    unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
                }
                rest = rest.dropFirst(count)
            } catch {
                if error == .resourceTemporarilyUnavailable { return }
                throw lost(error, "write a stream")
            }
        }
    }

    private static func lost(_ errno: Errno, _ attempt: String) -> BerthError {
        switch errno {
        case .connectionReset, .brokenPipe, .socketNotConnected:
            BerthError(.unavailable, "\(attempt): the peer is gone (\(errno.name))")
        default: BerthError(errno, attempt)
        }
    }
}
