internal import BerthBase
internal import CCurl
internal import Glibc
internal import Synchronization

/// One libcurl handle with its connections and its buffer; reused, so that connections and memory are.
///
/// SAFETY: used by one thread at a time: a handle leaves the pool for a transfer and comes back after it.
final class CurlHandle: @unchecked Sendable {
    /// The size of the pieces a body is handed over in.
    static let pieceSize = 512 * 1024
    /// The most header bytes of one answer.
    static let maxHeaderBytes = 64 * 1024

    private static let ready: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private let raw: UnsafeMutableRawPointer
    fileprivate let buffer: UnsafeMutableRawBufferPointer
    fileprivate let errorText: UnsafeMutablePointer<CChar>

    init() throws {
        guard Self.ready, let raw = curl_easy_init() else {
            throw BerthError(.resourceExhausted, "make a connection: libcurl has no memory")
        }
        self.raw = raw
        buffer = .allocate(byteCount: Self.pieceSize, alignment: 4096)
        errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
    }

    deinit {
        curl_easy_cleanup(raw)
        buffer.deallocate()
        errorText.deallocate()
    }

    /// Performs a request; blocks. The body of a successful answer goes to the sink, that of another one is dropped
    /// but for its beginning.
    ///
    /// - Throws: `TransferFailure`, or what the sink throws.
    func perform(_ request: HTTPRequest, _ sink: any BodySink, _ cancelled: borrowing Atomic<Bool>) throws -> HTTPAnswer
    {
        curl_easy_reset(raw)
        let transfer = Transfer(self, sink, request.stallTimeout)
        return try withUnsafePointer(to: cancelled) { flag in
            transfer.isCancelled = { flag.pointee.load(ordering: .relaxed) }
            defer { transfer.isCancelled = { true } }
            return try run(request, transfer)
        }
    }

    private func run(_ request: HTTPRequest, _ transfer: Transfer) throws -> HTTPAnswer {
        errorText.pointee = 0
        var list: UnsafeMutablePointer<curl_slist>?
        defer { curl_slist_free_all(list) }
        // Expect: 100-continue would make a token request wait.
        for (name, value) in request.headers + [("Expect", "")] {
            list = curl_slist_append(list, value.isEmpty ? "\(name):" : "\(name): \(value)") ?? list
        }
        try configure(request, list)
        let context = Unmanaged.passUnretained(transfer).toOpaque()
        set(CURLOPT_WRITEDATA, pointer: context)
        set(CURLOPT_HEADERDATA, pointer: context)
        set(CURLOPT_XFERINFODATA, pointer: context)
        let code = withExtendedLifetime(transfer) { () -> CURLcode in
            guard var body = request.body else { return curl_easy_perform(raw) }
            set(CURLOPT_POSTFIELDSIZE, body.count)
            return body.withUnsafeMutableBytes { bytes in
                set(CURLOPT_POSTFIELDS, pointer: bytes.baseAddress)
                return curl_easy_perform(raw)
            }
        }
        return try transfer.result(code, request)
    }

    private func configure(_ request: HTTPRequest, _ list: UnsafeMutablePointer<curl_slist>?) throws {
        set(CURLOPT_URL, request.address.wireText)
        if request.method == "HEAD" { set(CURLOPT_NOBODY, 1) }
        if request.method == "POST" { set(CURLOPT_POST, 1) }
        _ = berth_curl_set_list(raw, CURLOPT_HTTPHEADER, list)
        set(CURLOPT_USERAGENT, "berth/0.1")
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        // Each transfer has a connection of its own: HTTP/2 would only add frames to it.
        set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        set(CURLOPT_BUFFERSIZE, Self.pieceSize)
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_CONNECTTIMEOUT_MS, max(1, request.connectTimeout.milliseconds))
        if request.address.isLoopback { set(CURLOPT_PROXY, "") }
        set(CURLOPT_ERRORBUFFER, pointer: errorText)
        set(CURLOPT_NOPROGRESS, 0)
        _ = berth_curl_close_on_exec(raw)
        _ = berth_curl_set_data(raw, CURLOPT_WRITEFUNCTION) { data, size, count, context in
            Transfer.at(context)?.take(UnsafeRawBufferPointer(start: data, count: size * count)) ?? 0
        }
        _ = berth_curl_set_data(raw, CURLOPT_HEADERFUNCTION) { data, size, count, context in
            Transfer.at(context)?.header(UnsafeRawBufferPointer(start: data, count: size * count)) ?? 0
        }
        _ = berth_curl_set_progress(raw) { context, _, now, _, _ in Transfer.at(context)?.tick(Int64(now)) ?? 1 }
        try configure(request.tls)
    }

    private func configure(_ tls: TLSSettings) throws {
        if tls.skipVerify {
            set(CURLOPT_SSL_VERIFYPEER, 0)
            set(CURLOPT_SSL_VERIFYHOST, 0)
        }
        if let certificate = tls.client {
            set(CURLOPT_SSLCERT, certificate.certificate)
            set(CURLOPT_SSLKEY, certificate.key ?? certificate.certificate)
        }
        guard let first = tls.authorities.first else { return }
        guard tls.authorities.count > 1 else { return set(CURLOPT_CAINFO, first) }
        // libcurl takes one file or the bytes of several.
        var bytes: [UInt8] = []
        for path in tls.authorities { bytes += try TrustFiles.read(path) + [0x0a] }
        bytes.withUnsafeMutableBytes { buffer in
            var blob = curl_blob(data: buffer.baseAddress, len: buffer.count, flags: UInt32(CURL_BLOB_COPY))
            _ = withUnsafeMutablePointer(to: &blob) { berth_curl_set_pointer(raw, CURLOPT_CAINFO_BLOB, $0) }
        }
    }

    private func set(_ option: CURLoption, _ value: Int) { _ = berth_curl_set_long(raw, option, value) }
    private func set(_ option: CURLoption, _ value: String) { _ = berth_curl_set_string(raw, option, value) }
    private func set(_ option: CURLoption, pointer: UnsafeMutableRawPointer?) {
        _ = berth_curl_set_pointer(raw, option, pointer)
    }
}

/// What a request came to.
struct HTTPAnswer: Sendable {
    var head: HTTPHead
    /// The beginning of the body of an answer that is no success.
    var complaint: [UInt8] = []
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int { Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000) }
}

/// The state of a transfer while libcurl calls back, all on one thread.
private final class Transfer {
    /// What is kept of the body of an answer that is no success.
    static let maxComplaint = 16 * 1024

    private let handle: CurlHandle
    private let sink: any BodySink
    private let stallTimeout: Duration
    private var head = HTTPHead()
    private var headerBytes = 0
    private var isFinal = false
    private var fill = 0
    private var complaint: [UInt8] = []
    private var failure: (any Error)?
    private var seen: Int64 = -1
    private var lastMove = ContinuousClock.now
    private var stalled = false
    var isCancelled: () -> Bool = { false }

    init(_ handle: CurlHandle, _ sink: any BodySink, _ stallTimeout: Duration) {
        self.handle = handle
        self.sink = sink
        self.stallTimeout = stallTimeout
    }

    static func at(_ context: UnsafeMutableRawPointer?) -> Transfer? {
        context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
    }

    private func attempt(_ body: () throws -> Void) -> Bool {
        do { try body() } catch { failure = failure ?? error }
        return failure == nil
    }

    func header(_ line: UnsafeRawBufferPointer) -> Int {
        let text = String(decoding: line, as: UTF8.self).trimmed
        headerBytes += line.count
        guard headerBytes <= CurlHandle.maxHeaderBytes else {
            failure = TransferFailure(
                message: "its headers are longer than \(CurlHandle.maxHeaderBytes) bytes", isTransient: false)
            return 0
        }
        if text.hasPrefix("HTTP/") {
            head = HTTPHead(status: text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0)
        } else if text.isEmpty {
            guard head.status >= 200, !isFinal else { return line.count }
            isFinal = true
            if head.isSuccess, !attempt({ try sink.begin(head) }) { return 0 }
        } else if let colon = text.firstIndex(of: ":") {
            head.headers.append((text[..<colon].trimmed.lowercased(), text[text.index(after: colon)...].trimmed))
        }
        return line.count
    }

    func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard head.isSuccess else {
            complaint.append(contentsOf: bytes.prefix(max(0, Self.maxComplaint - complaint.count)))
            // An answer that is no success needs no more than its beginning.
            return complaint.count < Self.maxComplaint ? bytes.count : 0
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = min(rest.count, handle.buffer.count - fill)
            UnsafeMutableRawBufferPointer(rebasing: handle.buffer[fill..<fill + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
            rest = rest.dropFirst(count)
            fill += count
            if fill == handle.buffer.count, !flush() { return 0 }
        }
        return bytes.count
    }

    private func flush() -> Bool {
        guard fill > 0 else { return true }
        defer { fill = 0 }
        return attempt { try sink.receive(UnsafeRawBufferPointer(rebasing: handle.buffer[..<fill])) }
    }

    /// Called as bytes come and about once a second; anything but 0 ends the transfer.
    func tick(_ now: Int64) -> Int32 {
        if isCancelled() { return 1 }
        if now != seen {
            seen = now
            lastMove = .now
        } else if .now - lastMove > stallTimeout {
            stalled = true
            return 1
        }
        return 0
    }

    func result(_ code: CURLcode, _ request: HTTPRequest) throws -> HTTPAnswer {
        // What arrived before a connection broke is kept: the next try goes on from there.
        if failure == nil, head.isSuccess { _ = flush() }
        if let failure { throw failure }
        if code == CURLE_OK { return HTTPAnswer(head: head, complaint: complaint) }
        if code == CURLE_WRITE_ERROR, !head.isSuccess, isFinal { return HTTPAnswer(head: head, complaint: complaint) }
        if isCancelled() { throw CancellationError() }
        if stalled {
            throw TransferFailure(message: "nothing arrived for \(stallTimeout)", isTransient: true, isStall: true)
        }
        var text = String(cString: handle.errorText)
        if text.isEmpty { text = String(cString: curl_easy_strerror(code)) }
        let lasting: [CURLcode] = [
            CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM, CURLE_URL_MALFORMAT,
            CURLE_UNSUPPORTED_PROTOCOL,
        ]
        throw TransferFailure(
            message: text.prefix(200).trimmed, isTransient: !lasting.contains(code),
            isHandshake: code == CURLE_SSL_CONNECT_ERROR)
    }
}
