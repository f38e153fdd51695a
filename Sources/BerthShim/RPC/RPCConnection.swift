internal import BerthBase
internal import BerthShimAPI
internal import BerthSystem
internal import BerthTTRPC
internal import SystemPackage

/// One client's connection, on the control loop.
final class RPCConnection {
    /// The most calls of one client that wait for their answers.
    static let maxCalls = 1024
    /// The most bytes that wait for a client that does not read; then it is hung up on.
    static let maxOutgoingBytes = 16 << 20
    private static let readBytes = 16384

    private let socket: OwnedFD
    private let loop: EventLoop
    private let serve: (RPCCall) -> Void
    private let onClose: (RPCConnection) -> Void
    private var decoder = FrameDecoder()
    private var outgoing: [UInt8] = []
    private var calls: [RPCCall: EventLoop.TimerID?] = [:]
    private(set) var isOpen = true

    init(
        _ socket: consuming OwnedFD, loop: EventLoop, serve: @escaping (RPCCall) -> Void,
        onClose: @escaping (RPCConnection) -> Void
    ) throws(Errno) {
        self.socket = socket
        self.loop = loop
        self.serve = serve
        self.onClose = onClose
        try loop.watch(self.socket.rawValue, .input) { [unowned self] ready in handle(ready) }
    }

    private func handle(_ ready: Readiness) {
        if ready.contains(.output) { flush() }
        if isOpen, !ready.isDisjoint(with: [.input, .hangUp, .error]) { receive() }
    }

    private func receive() {
        do throws(Errno) {
            guard let bytes = try LocalSocket.receive(socket.rawValue, limit: RPCConnection.readBytes) else { return }
            if bytes.isEmpty { return close() }
            decoder.append(bytes)
        } catch {
            return close()
        }
        while isOpen, let item = decoder.next() { take(item) }
    }

    private func take(_ item: FrameDecoder.Item) {
        switch item {
        case .frame(let frame) where frame.kind == .request: begin(frame)
        // No method takes a stream: what a client sends after its request belongs to nothing.
        case .frame, .unknown: break
        case .oversized(let stream, let length):
            refuse(stream, BerthError(.resourceExhausted, "a message of \(length) bytes, at most \(Frame.maxLength)"))
        }
    }

    private func begin(_ frame: Frame) {
        let request: TTRPCRequest
        do { request = try TTRPCRequest(decoding: frame.data) } catch {
            return refuse(frame.stream, BerthError.wrapping(error))
        }
        guard calls.count < RPCConnection.maxCalls else {
            return refuse(
                frame.stream,
                BerthError(.resourceExhausted, "\(RPCConnection.maxCalls) calls of this client wait already"))
        }
        let call = RPCCall(request, stream: frame.stream, on: self)
        calls[call] = .some(nil)
        serve(call)
        guard !call.isAnswered, let timeout = call.timeout else { return }
        calls[call] = loop.after(timeout) { [weak call] in
            call?.fail(BerthError(.deadlineExceeded, "the client's own deadline has passed"))
        }
    }

    private func refuse(_ stream: UInt32, _ error: BerthError) {
        send(Frame(stream: stream, kind: .response, data: TTRPCResponse(error).encoded()))
    }

    // MARK: Answers

    func finish(_ frame: Frame, of call: RPCCall) {
        if let timer = calls.removeValue(forKey: call) { loop.cancel(timer) }
        send(frame)
    }

    func send(_ frame: Frame) {
        guard isOpen else { return }
        guard let bytes = frame.encoded() else {
            return refuse(
                frame.stream,
                BerthError(.resourceExhausted, "an answer of \(frame.data.count) bytes, at most \(Frame.maxLength)"))
        }
        let wasIdle = outgoing.isEmpty
        outgoing += bytes
        if wasIdle { flush() }
        if outgoing.count > RPCConnection.maxOutgoingBytes { close() }
    }

    private func flush() {
        var sent = 0
        do throws(Errno) {
            while sent < outgoing.count, let count = try LocalSocket.send(outgoing[sent...], on: socket.rawValue) {
                sent += count
            }
        } catch {
            return close()
        }
        if sent == outgoing.count {
            outgoing.removeAll(keepingCapacity: outgoing.capacity <= 16384)
        } else {
            outgoing.removeFirst(sent)
        }
        loop.change(socket.rawValue, outgoing.isEmpty ? .input : [.input, .output])
    }

    /// Hangs up. What its calls asked for goes on; nobody hears of it here.
    func close() {
        guard isOpen else { return }
        isOpen = false
        loop.forget(socket.rawValue)
        for timer in calls.values { loop.cancel(timer) }
        calls = [:]
        onClose(self)
    }
}
