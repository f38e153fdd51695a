import BerthBase
import BerthGRPC
import BerthIO
import BerthSystem
import Glibc
import Synchronization
import SystemPackage
import Testing

/// A server with the test service, on a loop and a socket of a test's own.
final class World {
    let loop: EventLoop
    let folder: String
    let server: GRPCServer
    let listener: Listener
    let reports = Shared<[GRPCCallReport]>([])
    let probe = ServiceProbe()
    private let accepting: Task<Void, any Error>

    init(_ limits: GRPCLimits = GRPCLimits(), tcp: Bool = false) throws {
        let loop = try EventLoop("test-grpc")
        self.loop = loop
        folder = "/tmp/berth-grpc-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try Files.makeDirectories(folder, mode: 0o700)
        let server = try GRPCServer([TestService(probe: probe)], limits: limits, on: loop) {
            [reports] report in
            reports.withLock { $0.append(report) }
        }
        let listener = try Listener(tcp ? .loopback(port: 0) : .unix("\(folder)/grpc.sock"), on: loop)
        (self.server, self.listener) = (server, listener)
        accepting = Task { try await server.serve(listener) }
    }

    deinit {
        accepting.cancel()
        listener.close()
        loop.stop()
        for name in (try? Files.names(in: folder)) ?? [] { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    func client(_ limits: GRPCLimits = GRPCLimits()) async throws -> GRPCClient {
        try await GRPCClient.connect(listener.address, limits: limits, on: loop)
    }

    /// A connection that speaks bytes.
    func raw() async throws -> BerthIO.Stream { try await loop.connect(listener.address) }

    var address: String { listener.address.description }

    /// Waits until a condition holds, at most five seconds.
    func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
        for _ in 0..<500 {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("never: \(what)")
    }
}

/// What happened in handlers.
final class ServiceProbe: Sendable {
    private struct State {
        var started = 0
        var cancelled = 0
        var sent = 0
        var calls: [GRPCCall] = []
    }
    private let state = Mutex(State())
    var started: Int { state.withLock { $0.started } }
    var cancelled: Int { state.withLock { $0.cancelled } }
    var sent: Int { state.withLock { $0.sent } }
    var calls: [GRPCCall] { state.withLock { $0.calls } }
    func start() { state.withLock { $0.started += 1 } }
    func cancel() { state.withLock { $0.cancelled += 1 } }
    func send() { state.withLock { $0.sent += 1 } }
    func note(_ call: GRPCCall) { state.withLock { $0.calls.append(call) } }
}

/// A service on bytes with a method for each way a call can go.
struct TestService: GRPCService {
    let probe: ServiceProbe
    var name: String { "test.v1.Test" }

    var methods: [GRPCMethod] {
        [
            GRPCMethod(
                "Echo",
                .unary { [probe] bytes, call in
                    probe.note(call)
                    return bytes
                }),
            GRPCMethod(
                "EchoLater",
                .unary { bytes, _ in
                    try await Task.sleep(for: .milliseconds(1))
                    return bytes
                }),
            GRPCMethod(
                "Fail",
                .unary { bytes, _ in
                    let code = BerthError.Code(rawValue: Int32(bytes.first ?? 2)) ?? .unknown
                    throw BerthError(code, "fail: 100% ünlucky\nsecond line")
                }),
            GRPCMethod(
                "Hang",
                .unary { [probe] bytes, _ in
                    probe.start()
                    do { try await Task.sleep(for: .seconds(60)) } catch {
                        probe.cancel()
                        throw error
                    }
                    return bytes
                }),
            GRPCMethod(
                "Stubborn",
                .unary { [probe] bytes, _ in
                    probe.start()
                    await Task { try? await Task.sleep(for: .milliseconds(300)) }.value
                    return bytes
                }),
            GRPCMethod(
                "EchoAll",
                .streaming { reader, writer, _ in
                    while let message = try await reader.next() { try await writer.send(message) }
                }),
            GRPCMethod(
                "Sink",
                .streaming { [probe] reader, writer, _ in
                    probe.start()
                    var total = 0
                    while let message = try await reader.next() {
                        total += message.count
                        try await Task.sleep(for: .milliseconds(1))
                    }
                    try await writer.send(Array("\(total)".utf8))
                }),
            GRPCMethod("Deaf", .streaming { _, _, _ in try await Task.sleep(for: .seconds(60)) }),
            GRPCMethod(
                "Source",
                .streaming { [probe] reader, writer, _ in
                    let request = try await reader.next() ?? []
                    let size = request.reduce(0) { $0 << 8 | Int($1) }
                    probe.start()
                    do {
                        for number in 0..<1000 {
                            try await writer.send([UInt8](repeating: UInt8(number & 255), count: size))
                            probe.send()
                        }
                    } catch {
                        probe.cancel()
                        throw error
                    }
                }),
            GRPCMethod(
                "FailLate",
                .streaming { _, writer, _ in
                    try await writer.send([1])
                    try await writer.send([2])
                    throw BerthError(.aborted, "enough")
                }),
        ]
    }
}

/// The error of a call.
func failure<T>(_ body: () async throws -> T) async -> BerthError? {
    do {
        _ = try await body()
        return nil
    } catch { return BerthError.wrapping(error) }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
