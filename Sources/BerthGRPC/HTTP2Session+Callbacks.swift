internal import BerthBase
internal import CNghttp2

// SAFETY (for the whole file): nghttp2 calls these functions only within calls of HTTP2Session's methods, on the
// same thread. `user` is the session object, which is alive then; frames, names and values are valid during the call.
extension HTTP2Session {
    private typealias User = UnsafeMutableRawPointer

    private static func events(_ user: User?) -> (any HTTP2Events)? {
        unsafe user.flatMap { unsafe Unmanaged<HTTP2Session>.fromOpaque($0).takeUnretainedValue().events }
    }

    static func register(_ callbacks: OpaquePointer?) {
        unsafe registerHeaders(callbacks)
        unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, head, user in
            guard let head = unsafe head?.pointee else { return 0 }
            unsafe HTTP2Session.events(user)?.frameBegan(
                FrameHead(
                    kind: FrameHead.Kind(rawValue: head.type),
                    isEnd: head.flags & HTTP2Session.endStream != 0,
                    isAck: head.flags & HTTP2Session.ack != 0, length: head.length))
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            if let frame = unsafe frame, let events = unsafe HTTP2Session.events(user) {
                unsafe HTTP2Session.received(frame.pointee, events)
            }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
            if let frame = unsafe frame, let events = unsafe HTTP2Session.events(user) {
                unsafe HTTP2Session.sent(frame.pointee, events)
            }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            _, _, stream, bytes, count, user in
            unsafe HTTP2Session.events(user)?.data(stream, Bytes(start: bytes, count: count))
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, error, user in
            unsafe HTTP2Session.events(user)?.streamClosed(stream, error: error)
            return 0
        }
    }

    private static func registerHeaders(_ callbacks: OpaquePointer?) {
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
            if let head = unsafe frame?.pointee.hd {
                unsafe HTTP2Session.events(user)?.headersBegan(head.stream_id)
            }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameLength, value, length, _, user in
            guard let head = unsafe frame?.pointee.hd, let events = unsafe HTTP2Session.events(user) else {
                return 0
            }
            let fits = unsafe events.header(
                head.stream_id, name: Bytes(start: name, count: nameLength),
                value: Bytes(start: value, count: length))
            return fits ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
    }

    private static let endStream = UInt8(NGHTTP2_FLAG_END_STREAM.rawValue)
    private static let ack = UInt8(NGHTTP2_FLAG_ACK.rawValue)

    private static func received(_ frame: nghttp2_frame, _ events: any HTTP2Events) {
        let head = unsafe frame.hd
        switch FrameHead.Kind(rawValue: head.type) {
        case .headers: events.headersEnded(head.stream_id, isLast: head.flags & endStream != 0)
        case .data where head.flags & endStream != 0: events.streamEnded(head.stream_id)
        case .ping where head.flags & ack != 0: events.pingAnswered()
        case .goaway:
            let goaway = unsafe frame.goaway
            let text = unsafe Bytes(start: goaway.opaque_data, count: goaway.opaque_data_len)
            unsafe events.goawayReceived(
                last: goaway.last_stream_id, error: goaway.error_code,
                text: String(decoding: text, as: UTF8.self))
        default: break
        }
    }

    private static func sent(_ frame: nghttp2_frame, _ events: any HTTP2Events) {
        let head = unsafe frame.hd
        switch FrameHead.Kind(rawValue: head.type) {
        case .headers, .data: if head.flags & endStream != 0 { events.sentEnd(head.stream_id) }
        case .reset: events.sentReset(unsafe frame.rst_stream.error_code)
        default: break
        }
    }

    /// Asks the events' `fill` for a stream's body.
    static var provider: nghttp2_data_provider {
        unsafe nghttp2_data_provider(source: nghttp2_data_source()) {
            _, stream, buffer, room, flags, _, user in
            guard let events = unsafe HTTP2Session.events(user) else { return HTTP2Session.failed }
            switch unsafe events.fill(stream, UnsafeMutableRawBufferPointer(start: buffer, count: room)) {
            case .bytes(let count): return count
            case .later: return Int(NGHTTP2_ERR_DEFERRED.rawValue)
            case .failed: return HTTP2Session.failed
            case .end(let count, let trailers):
                let more = trailers ? NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue : 0
                unsafe flags?.pointee = NGHTTP2_DATA_FLAG_EOF.rawValue | more
                return count
            }
        }
    }

    private static let failed = Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
}
