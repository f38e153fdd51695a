internal import BerthBase
internal import BerthIO
internal import BerthSystem
internal import Glibc
internal import Synchronization

/// One end of a ttrpc connection: frames out in the order of `send`, items in on the loop's thread.
///
/// Writes go to the kernel at once; what it does not take waits here, up to a limit.
final class Connection: EventHandler {
    /// The bytes that may wait for a peer that does not read.
    static let maxOutbound = 8 << 20
    /// The bytes of one read.
    static let readSize = 64 << 10

    private struct State {
        /// -1 once closed.
        var descriptor: Int32
        var token: EventLoop.Token?
        var outbound: [UInt8] = []
        var written = 0
        var ended: BerthError?
    }

    private let state: Mutex<State>
    /// Only the loop's thread uses it, but the compiler cannot know.
    private let decoder = Mutex(FrameDecoder())
    private let loop: EventLoop
    private let what: String
    private let onItem: @Sendable (FrameDecoder.Item) -> Void
    private let onEnd: @Sendable (BerthError) -> Void

    /// Takes over a non-blocking socket. Nothing comes in before `start`.
    init(
        _ descriptor: consuming OwnedFD, to what: String, on loop: EventLoop,
        onItem: @escaping @Sendable (FrameDecoder.Item) -> Void, onEnd: @escaping @Sendable (BerthError) -> Void
    ) {
        self.loop = loop
        self.what = what
        self.onItem = onItem
        self.onEnd = onEnd
        state = Mutex(State(descriptor: descriptor.release()))
    }

    deinit { end(BerthError(.cancelled, "the connection to \(what) was closed"), notify: false) }

    /// Begins to read.
    func start() throws {
        let number = state.withLock { $0.descriptor }
        guard number >= 0 else { return }
        do {
            let token = try loop.watch(number, self)
            let isLate = state.withLock { state -> Bool in
                state.token = token
                return state.descriptor < 0
            }
            if isLate { loop.forget(token, number) }
        } catch { throw BerthError(.internal, "watch the connection to \(what)", cause: error) }
    }

    /// Why it ended, or nil while it is open.
    var ended: BerthError? { state.withLock { $0.ended } }

    /// Sends a frame of `count` bytes made under the lock, so that stream IDs reach the wire in order. When `make`
    /// has returned, the frame is on its way: a loss from then on is told by `onEnd` alone.
    func send<T>(count: Int, _ make: () throws -> (frame: Frame, result: T)) throws -> T {
        guard count <= Frame.maxLength else {
            throw BerthError(
                .resourceExhausted, "send to \(what): a message of \(count) bytes; \(Frame.maxLength) is the most")
        }
        var failure: BerthError?
        let result = try state.withLock { state -> T in
            if let ended = state.ended { throw ended }
            guard state.outbound.count - state.written + count <= Self.maxOutbound else {
                throw BerthError(.resourceExhausted, "send to \(what): \(Self.maxOutbound) bytes wait already")
            }
            let (frame, result) = try make()
            state.outbound += frame.encoded() ?? []
            failure = flush(&state)
            return result
        }
        if let failure { end(failure) }
        return result
    }

    func send(_ frame: Frame) throws { try send(count: frame.data.count) { (frame, ()) } }

    func ready(_ events: EventLoop.Events) {
        if events.contains(.writable), let failure = state.withLock({ flush(&$0) }) { return end(failure) }
        while let bytes = read() {
            let items = decoder.withLock { decoder -> [FrameDecoder.Item] in
                decoder.append(bytes)
                var items: [FrameDecoder.Item] = []
                while let item = decoder.next() { items.append(item) }
                return items
            }
            for item in items { onItem(item) }
        }
    }

    func close() { end(BerthError(.cancelled, "the connection to \(what) was closed"), notify: false) }

    /// What the kernel has; nil when that is nothing, or the connection is over.
    private func read() -> [UInt8]? {
        let (bytes, failure) = state.withLock { state -> ([UInt8], BerthError?) in
            guard state.descriptor >= 0 else { return ([], nil) }
            var count = 0
            var reason: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: Self.readSize) { buffer, length in
                repeat {
                    count = Glibc.read(state.descriptor, buffer.baseAddress, buffer.count)
                } while count < 0 && errno == EINTR
                reason = errno
                length = max(count, 0)
            }
            if count > 0 { return (bytes, nil) }
            if count == 0 { return ([], lost("it closed the connection")) }
            return ([], reason == EAGAIN ? nil : lost(String(cString: strerror(reason))))
        }
        if let failure { end(failure) }
        return bytes.isEmpty ? nil : bytes
    }

    private func flush(_ state: inout State) -> BerthError? {
        guard state.descriptor >= 0 else { return nil }
        while state.written < state.outbound.count {
            let count = state.outbound.withUnsafeBytes {
                Glibc.send(
                    state.descriptor, $0.baseAddress?.advanced(by: state.written), $0.count - state.written,
                    Int32(MSG_NOSIGNAL))
            }
            if count < 0 && errno == EINTR { continue }
            if count < 0 { return errno == EAGAIN ? nil : lost(String(cString: strerror(errno))) }
            state.written += count
        }
        state.outbound.removeAll(keepingCapacity: state.outbound.capacity <= 65536)
        state.written = 0
        return nil
    }

    private func lost(_ why: String) -> BerthError {
        BerthError(.unavailable, "the connection to \(what) is lost: \(why)")
    }

    private func end(_ reason: BerthError, notify: Bool = true) {
        let isFirst = state.withLock { state -> Bool in
            guard state.ended == nil else { return false }
            state.ended = reason
            if let token = state.token { loop.forget(token, state.descriptor) }
            Glibc.close(state.descriptor)
            state.descriptor = -1
            state.outbound = []
            return true
        }
        if isFirst && notify { onEnd(reason) }
    }
}
