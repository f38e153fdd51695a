internal import BerthBase
internal import CNghttp2

// SAFETY (for the whole file): `Bytes` point into a buffer of nghttp2, valid during the call that hands them over;
// what outlives it is copied.

/// Bytes of nghttp2 or of a socket, valid during one call.
typealias Bytes = UnsafeRawBufferPointer

/// What a side of a connection does with the frames nghttp2 has checked.
///
/// Called within `receive` or `fill` of the session; a callee may submit frames, but not receive or fill.
protocol HTTP2Events: AnyObject {
    func headersBegan(_ stream: Int32)
    /// One header; false resets the stream.
    func header(_ stream: Int32, name: Bytes, value: Bytes) -> Bool
    func headersEnded(_ stream: Int32, isLast: Bool)
    func data(_ stream: Int32, _ bytes: Bytes)
    /// The peer has sent all of a stream with its data.
    func streamEnded(_ stream: Int32)
    func streamClosed(_ stream: Int32, error: UInt32)
    /// Copies bytes of a stream's body.
    func fill(_ stream: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> BodyPart
    /// We have reset a stream.
    func sentReset(_ error: UInt32)
    /// Our side of a stream is sent.
    func sentEnd(_ stream: Int32)
    /// The header of any frame; before it is checked.
    func frameBegan(_ frame: FrameHead)
    func pingAnswered()
    /// The peer takes no stream after `last`.
    func goawayReceived(last: Int32, error: UInt32, text: String)
}

/// The head of a received frame.
struct FrameHead {
    enum Kind: UInt8 {
        case data, headers, priority, reset, settings, pushPromise, ping, goaway, windowUpdate, continuation
    }
    let kind: Kind?
    let isEnd: Bool
    let isAck: Bool
    let length: Int
}

/// What `fill` found.
enum BodyPart {
    /// So many bytes; more may follow.
    case bytes(Int)
    /// Nothing now; `resume` says when there is.
    case later
    /// So many last bytes. `trailers` are to be submitted by the callee; else the stream ends with them.
    case end(Int, trailers: Bool)
    /// The stream cannot go on.
    case failed
}

/// A header field to be sent.
struct HeaderField {
    let name: String
    let value: [UInt8]
    init(_ name: String, _ value: String) {
        self.name = name
        self.value = Array(value.utf8)
    }
    init(_ name: String, _ value: [UInt8]) {
        self.name = name
        self.value = value
    }
}

/// An HTTP/2 session: frames, header compression, flow control; no socket.
@safe final class HTTP2Session {
    private let session: OpaquePointer
    /// The connection that owns this session, and so outlives it.
    unowned(unsafe) var events: (any HTTP2Events)?

    /// - Parameter isServer: which side this is.
    init(isServer: Bool, _ limits: GRPCLimits) throws {
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        // SAFETY: both objects are freed below; the session copies what it needs of them.
        guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0, unsafe nghttp2_option_new(&options) == 0
        else {
            throw BerthError(.resourceExhausted, "make an HTTP/2 session: out of memory")
        }
        defer {
            unsafe nghttp2_session_callbacks_del(callbacks)
            unsafe nghttp2_option_del(options)
        }
        unsafe Self.register(callbacks)
        unsafe nghttp2_option_set_no_auto_window_update(options, 1)
        unsafe nghttp2_option_set_no_closed_streams(options, 1)
        unsafe nghttp2_option_set_max_settings(options, limits.maxSettings)
        unsafe nghttp2_option_set_max_continuations(options, limits.maxContinuations)
        unsafe nghttp2_option_set_peer_max_concurrent_streams(options, UInt32(limits.maxConcurrentStreams))
        let rate = UInt64(limits.maxResetsPerSecond)
        unsafe nghttp2_option_set_stream_reset_rate_limit(options, 2 * rate, rate)
        var made: OpaquePointer?
        let result =
            isServer
            ? unsafe nghttp2_session_server_new2(&made, callbacks, nil, options)
            : unsafe nghttp2_session_client_new2(&made, callbacks, nil, options)
        guard result == 0, let made = unsafe made else {
            throw BerthError(.resourceExhausted, "make an HTTP/2 session: \(Self.text(result))")
        }
        unsafe session = made
        // SAFETY: the callbacks run only within calls of this object's methods, so it lives.
        unsafe nghttp2_session_set_user_data(session, Unmanaged.passUnretained(self).toOpaque())
        submitSettings(isServer: isServer, limits)
    }

    deinit { unsafe nghttp2_session_del(session) }

    private func submitSettings(isServer: Bool, _ limits: GRPCLimits) {
        var entries = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
                value: UInt32(limits.streamWindow)),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue),
                value: UInt32(limits.maxHeaderListBytes)),
        ]
        if isServer {
            entries.append(
                nghttp2_settings_entry(
                    settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
                    value: UInt32(limits.maxConcurrentStreams)))
        } else {
            entries.append(
                nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0))
        }
        // SAFETY: the array has as many entries as the count says, and is copied.
        unsafe nghttp2_submit_settings(session, 0, entries, entries.count)
        unsafe nghttp2_session_set_local_window_size(session, 0, 0, Int32(limits.connectionWindow))
    }

    private static func text(_ code: Int32) -> String {
        // SAFETY: a constant of the library.
        unsafe String(cString: nghttp2_strerror(code))
    }

    // MARK: bytes

    /// Takes bytes from the peer.
    ///
    /// - Throws: when the connection cannot go on; nothing is to be sent then.
    func receive(_ bytes: Bytes) throws(BerthError) {
        let count = unsafe nghttp2_session_mem_recv(
            session, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        if count < 0 { throw BerthError(.unavailable, "receive HTTP/2 frames: \(Self.text(Int32(count)))") }
    }

    /// The next bytes for the peer, valid until the next call; nil when there are none.
    func nextOutput() throws(BerthError) -> Bytes? {
        var bytes: UnsafePointer<UInt8>?
        let count = unsafe nghttp2_session_mem_send(session, &bytes)
        if count < 0 { throw BerthError(.unavailable, "send HTTP/2 frames: \(Self.text(Int32(count)))") }
        return count == 0 ? nil : unsafe Bytes(start: bytes, count: count)
    }

    /// Neither side has anything left to say.
    var isOver: Bool {
        unsafe nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0
    }

    /// Frames that wait to be sent, without the data of streams.
    var queuedFrames: Int { unsafe nghttp2_session_get_outbound_queue_size(session) }

    // MARK: frames

    /// Sends headers, with which the stream ends.
    func submitResponse(_ stream: Int32, ending fields: [HeaderField]) {
        _ = unsafe Self.withFields(fields) { pointer, count in
            // SAFETY: nghttp2 copies the fields.
            unsafe nghttp2_submit_response(session, stream, pointer, count, nil)
        }
    }

    /// Sends headers; `fill` is asked for what follows.
    func submitResponse(_ stream: Int32, _ fields: PreparedFields) {
        var provider = unsafe Self.provider
        unsafe nghttp2_submit_response(session, stream, fields.pointer, fields.count, &provider)
    }

    func submitTrailers(_ stream: Int32, _ fields: [HeaderField]) {
        _ = unsafe Self.withFields(fields) { unsafe nghttp2_submit_trailer(session, stream, $0, $1) }
    }

    func submitTrailers(_ stream: Int32, _ fields: PreparedFields) {
        unsafe nghttp2_submit_trailer(session, stream, fields.pointer, fields.count)
    }

    /// Opens a stream; its number.
    func submitRequest(_ fields: [HeaderField]) throws(BerthError) -> Int32 {
        let stream = unsafe Self.withFields(fields) { pointer, count -> Int32 in
            var provider = unsafe Self.provider
            return unsafe nghttp2_submit_request(session, nil, pointer, count, &provider, nil)
        }
        if stream < 0 { throw BerthError(.unavailable, "open a stream: \(Self.text(stream))") }
        return stream
    }

    /// There is something to fill again.
    func resume(_ stream: Int32) { unsafe nghttp2_session_resume_data(session, stream) }

    func reset(_ stream: Int32, _ error: UInt32) {
        unsafe nghttp2_submit_rst_stream(session, 0, stream, error)
    }

    func ping() { unsafe nghttp2_submit_ping(session, 0, nil) }

    /// Says that no new streams are to come; those on their way are still taken.
    func announceShutdown() { unsafe nghttp2_submit_shutdown_notice(session) }

    /// Says which streams were taken; the session is over when they are.
    func refuseNewStreams() {
        let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
        unsafe nghttp2_submit_goaway(session, 0, last, 0, nil, 0)
    }

    /// Sends the peer away at once.
    func terminate(_ error: UInt32, _ reason: String) {
        let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
        let text = Array(reason.utf8)
        unsafe nghttp2_submit_goaway(session, 0, last, error, text, text.count)
        unsafe nghttp2_session_terminate_session2(session, last, error)
    }

    /// Opens the connection's window for bytes received.
    func consumeConnection(_ count: Int) { unsafe nghttp2_session_consume_connection(session, count) }

    /// Opens a stream's window for bytes received.
    func consumeStream(_ stream: Int32, _ count: Int) {
        unsafe nghttp2_session_consume_stream(session, stream, count)
    }

    /// Whether the peer has sent all of a stream; also for one that is closed.
    func peerHasEnded(_ stream: Int32) -> Bool {
        unsafe nghttp2_session_get_stream_remote_close(session, stream) != 0
    }

    private static func withFields<T>(
        _ fields: [HeaderField], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> T
    ) -> T {
        var bytes: [UInt8] = []
        for field in fields {
            bytes += field.name.utf8
            bytes += field.value
        }
        return unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            var at = buffer.baseAddress
            var entries: [nghttp2_nv] = unsafe []
            for field in fields {
                let nameLength = field.name.utf8.count
                // SAFETY: the lengths are those of the parts appended above, in the same order.
                let value = unsafe at.map { unsafe $0 + nameLength }
                unsafe entries.append(
                    nghttp2_nv(
                        name: at, value: value, namelen: nameLength, valuelen: field.value.count, flags: 0))
                unsafe at = value.map { unsafe $0 + field.value.count }
            }
            return unsafe entries.withUnsafeBufferPointer { unsafe body($0.baseAddress, $0.count) }
        }
    }
}

/// Fields that never change, in C's form, for the answers that are sent most.
///
/// SAFETY: the memory is written once, before the value is shared, and never freed: there are few, made once.
@safe struct PreparedFields: @unchecked Sendable {
    let pointer: UnsafePointer<nghttp2_nv>
    let count: Int

    init(_ fields: [(StaticString, StaticString)]) {
        let entries = UnsafeMutablePointer<nghttp2_nv>.allocate(capacity: fields.count)
        let flags = UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
        for (index, field) in fields.enumerated() {
            // SAFETY: static strings live for ever, and nghttp2 does not write to fields it does not copy.
            unsafe entries.advanced(by: index).initialize(
                to: nghttp2_nv(
                    name: UnsafeMutablePointer(mutating: field.0.utf8Start),
                    value: UnsafeMutablePointer(mutating: field.1.utf8Start),
                    namelen: field.0.utf8CodeUnitCount,
                    valuelen: field.1.utf8CodeUnitCount, flags: flags))
        }
        unsafe pointer = UnsafePointer(entries)
        count = fields.count
    }
}
