internal import BerthBase
internal import BerthIO
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Memory that all connections of a loop read into, one at a time.
///
/// SAFETY: used on the loop's thread only.
@safe final class ReadBuffer: @unchecked Sendable {
    static let size = 64 << 10
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: ReadBuffer.size, alignment: 16)
    deinit { unsafe bytes.deallocate() }
}

/// A socket that speaks HTTP/2: moves bytes between the kernel and the session, and ends both together.
///
/// SAFETY: everything but `loop` and `isCurrent` is used on the loop's thread only; the loop itself keeps it alive
/// while the socket is watched.
class HTTP2Connection: EventHandler, @unchecked Sendable {
    final let loop: EventLoop
    final let session: HTTP2Session
    final let limits: GRPCLimits
    private let scratch: ReadBuffer
    private var descriptor: Int32
    private var token: EventLoop.Token?
    private var output: [UInt8] = []
    private var sent = 0
    private var isFlushPlanned = false
    private var isReceiving = false
    private var isLeaving = false
    private(set) final var hasReceived = false
    private(set) final var lastReceived = ContinuousClock.now
    /// Output taken from the session before it is written; bounds what one connection holds.
    private static let outputRoom = 64 << 10
    /// Reads of one connection before the others get their turn.
    private static let readsPerTurn = 8

    init(
        _ descriptor: consuming OwnedFD, session: HTTP2Session, limits: GRPCLimits, scratch: ReadBuffer,
        loop: EventLoop
    ) {
        self.descriptor = descriptor.release()
        self.session = session
        self.limits = limits
        self.scratch = scratch
        self.loop = loop
    }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    /// Begins: on the loop's thread, once.
    final func open() {
        do { token = try loop.watch(descriptor, self) } catch {
            return close(BerthError(error, "watch a connection"))
        }
        flush()
    }

    final var isOpen: Bool { descriptor >= 0 }

    /// The connection has ended; called once. Streams are told by the subclass.
    func didClose(_ reason: BerthError) {}

    final func ready(_ events: EventLoop.Events) {
        let isEnding = !events.isDisjoint(with: [.hangup, .error, .peerClosed])
        if isEnding || events.contains(.readable) { receive(toTheEnd: isEnding) }
        flush()
    }

    /// Reads what there is. `toTheEnd` if the end has been announced: no other edge comes for it.
    private func receive(toTheEnd: Bool) {
        isReceiving = true
        defer { isReceiving = false }
        for _ in 0..<Self.readsPerTurn {
            guard descriptor >= 0 else { return }
            // SAFETY: the buffer has room for `size` bytes.
            let count = unsafe read(descriptor, scratch.bytes.baseAddress, ReadBuffer.size)
            if count == 0 { return close(BerthError(.unavailable, "the peer closed the connection")) }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN { return }
                return close(
                    BerthError(.unavailable, "the connection was lost: \(Errno(rawValue: errno).name)"))
            }
            lastReceived = .now
            do throws(BerthError) {
                // SAFETY: `count` bytes were read into the buffer, which nobody else uses meanwhile.
                try unsafe session.receive(Bytes(rebasing: scratch.bytes[..<count]))
                hasReceived = true
            } catch {
                return close(error)
            }
            // Answers to refused streams need no stream to wait in, and so no limit on streams holds them.
            guard session.queuedFrames <= limits.maxQueuedFrames else {
                return close(BerthError(.resourceExhausted, "the peer does not read: too many frames wait"))
            }
            // A stream socket that gave less than asked for is drained; what comes later makes a new edge.
            if count < ReadBuffer.size && !toTheEnd { return }
        }
        loop.execute { [self] in
            receive(toTheEnd: toTheEnd)
            flush()
        }
    }

    /// Writes at the end of this turn of the loop, once for all that is submitted in it.
    final func planFlush() {
        guard !isReceiving, !isFlushPlanned else { return }
        isFlushPlanned = true
        loop.execute { [self] in
            isFlushPlanned = false
            flush()
        }
    }

    private func flush() {
        while descriptor >= 0 {
            do throws(BerthError) { try takeOutput() } catch { return close(error) }
            if output.isEmpty { break }
            guard writeOutput() else { return }
        }
        if descriptor >= 0, session.isOver { close(BerthError(.unavailable, "the connection is over")) }
    }

    private func takeOutput() throws(BerthError) {
        while output.count < Self.outputRoom, let part = try unsafe session.nextOutput() {
            unsafe output.append(contentsOf: part)
        }
    }

    /// Writes; false when the kernel takes no more for now or the connection is lost.
    private func writeOutput() -> Bool {
        while sent < output.count {
            let count = unsafe output.withUnsafeBytes {
                // SAFETY: `sent` is less than the count.
                unsafe send(
                    descriptor, $0.baseAddress.map { unsafe $0 + sent }, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
                continue
            }
            if errno == EINTR { continue }
            if errno == EAGAIN { return false }
            close(BerthError(.unavailable, "the connection was lost: \(Errno(rawValue: errno).name)"))
            return false
        }
        output.removeAll(keepingCapacity: output.capacity <= 2 * Self.outputRoom)
        sent = 0
        return true
    }

    /// Tells the peer why it has to go, and closes when that is written, or soon.
    final func leave(_ error: UInt32, _ reason: String) {
        guard !isLeaving, descriptor >= 0 else { return }
        isLeaving = true
        session.terminate(error, reason)
        planFlush()
        let cause = BerthError(.unavailable, "the peer was sent away: \(reason)")
        loop.schedule(at: .now + limits.closing) { [self] in close(cause) }
    }

    /// Closes at once. Again is harmless.
    final func close(_ reason: BerthError) {
        guard descriptor >= 0 else { return }
        if let token { loop.forget(token, descriptor) }
        Glibc.close(descriptor)
        descriptor = -1
        output = []
        didClose(reason)
    }
}
