import BerthBase
import BerthIO
import BerthShimAPI
import BerthTTRPC
import Glibc
import Testing

@Suite(.timeLimit(.minutes(5))) struct ClientServerTests {
    /// A server on a socket of its own, and what it takes to end it.
    struct World: Sendable {
        let loop: EventLoop
        let path: String
        let server: TTRPCServer
        let accepting: Task<Void, any Error>

        init(_ methods: [String: TTRPCServer.Handler]) throws {
            loop = try EventLoop("test")
            path = "/tmp/berth-ttrpc-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
            let server = try TTRPCServer(at: path, on: loop, methods: methods)
            self.server = server
            accepting = Task { try await server.run() }
        }

        func client() async throws -> TTRPCClient {
            try await TTRPCClient.connect(to: path, named: "the server", on: loop)
        }

        func end() async {
            server.close()
            accepting.cancel()
            _ = await accepting.result
            loop.stop()
            #expect(access(path, F_OK) != 0)
        }
    }

    static let echo: TTRPCServer.Handler = { $0 }

    func code(_ body: () async throws -> Void) async -> BerthError.Code? {
        do {
            try await body()
            return nil
        } catch { return BerthError.wrapping(error).code }
    }

    @Test func `calls are answered, many at once`() async throws {
        let world = try World(["s/echo": Self.echo])
        let client = try await world.client()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<100 {
                group.addTask {
                    let payload = [UInt8](repeating: UInt8(number), count: number * 100)
                    let answer = try await client.call("s", "echo", payload, timeout: .seconds(60))
                    #expect(answer == payload)
                }
            }
            try await group.waitForAll()
        }
        #expect(client.inFlight == 0)
        client.close()
        await world.end()
    }

    @Test func `an error keeps its code and message`() async throws {
        let world = try World(["s/fail": { _ in throw BerthError(.failedPrecondition, "not now") }])
        let client = try await world.client()
        do {
            _ = try await client.call("s", "fail", [], timeout: .seconds(60))
            Issue.record("no error")
        } catch let error as BerthError {
            #expect(error.code == .failedPrecondition)
            #expect(error.message == "not now")
        }
        #expect(await code { _ = try await client.call("s", "none", [], timeout: .seconds(60)) } == .unimplemented)
        client.close()
        await world.end()
    }

    @Test func `a deadline ends the call on both sides`() async throws {
        let cancelled = Shared(false)
        let world = try World([
            "s/hang": { _ in
                do { try await Task.sleep(for: .seconds(3600)) } catch { cancelled.withLock { $0 = true } }
                return []
            }
        ])
        let client = try await world.client()
        #expect(
            await code { _ = try await client.call("s", "hang", [], timeout: .milliseconds(100)) } == .deadlineExceeded)
        while !cancelled.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(10)) }
        client.close()
        await world.end()
    }

    @Test func `a cancelled call is forgotten and the connection goes on`() async throws {
        let world = try World([
            "s/echo": Self.echo,
            "s/hang": { _ in
                try await Task.sleep(for: .seconds(3600))
                return []
            },
        ])
        let client = try await world.client()
        let hanging = Task { try await client.call("s", "hang", [], timeout: nil) }
        while client.inFlight == 0 { try await Task.sleep(for: .milliseconds(1)) }
        hanging.cancel()
        #expect(await code { _ = try await hanging.value } == .cancelled)
        #expect(client.inFlight == 0)
        #expect(try await client.call("s", "echo", [1], timeout: .seconds(60)) == [1])
        client.close()
        await world.end()
    }

    @Test func `a lost connection fails what is under way and everything after it`() async throws {
        let world = try World([
            "s/hang": { _ in
                try await Task.sleep(for: .seconds(3600))
                return []
            }
        ])
        let client = try await world.client()
        let calls = (0..<10).map { _ in Task { try await client.call("s", "hang", [], timeout: nil) } }
        while client.inFlight < 10 { try await Task.sleep(for: .milliseconds(1)) }
        let watcher = Task { await client.ended() }
        await world.end()
        for call in calls { #expect(await code { _ = try await call.value } == .unavailable) }
        #expect(await watcher.value.code == .unavailable)
        #expect(!client.isOpen)
        #expect(await code { _ = try await client.call("s", "hang", [], timeout: nil) } == .unavailable)
    }

    @Test func `calls beyond a connection's limit are refused by the server, and beyond the client's by the client`()
        async throws
    {
        let world = try World([
            "s/hang": { _ in
                try await Task.sleep(for: .seconds(3600))
                return []
            }
        ])
        let client = try await world.client()
        let calls = (0..<TTRPCClient.maxInFlight + 1).map { _ in
            Task { try await client.call("s", "hang", [], timeout: nil) }
        }
        while client.inFlight != TTRPCServer.maxInFlight {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(client.inFlight == TTRPCServer.maxInFlight)
        client.close()
        var codes: [BerthError.Code: Int] = [:]
        for call in calls { if let code = await code({ _ = try await call.value }) { codes[code, default: 0] += 1 } }
        #expect(codes[.cancelled] == TTRPCServer.maxInFlight)
        #expect(codes[.resourceExhausted] == TTRPCClient.maxInFlight + 1 - TTRPCServer.maxInFlight)
        await world.end()
    }

    @Test func `a message beyond the limit is refused before it is sent`() async throws {
        let world = try World(["s/echo": Self.echo])
        let client = try await world.client()
        let big = [UInt8](repeating: 0, count: Frame.maxLength + 1)
        #expect(await code { _ = try await client.call("s", "echo", big, timeout: .seconds(60)) } == .resourceExhausted)
        let largest = [UInt8](repeating: 1, count: Frame.maxLength - 64)
        #expect(try await client.call("s", "echo", largest, timeout: .seconds(60)).count == largest.count)
        client.close()
        await world.end()
    }

    @Test func `a peer that sends rubbish is answered or dropped and others go on`() async throws {
        let world = try World(["s/echo": Self.echo])
        for _ in 0..<20 {
            let stream = try await world.loop.connect(.unix(world.path))
            try? await stream.write((0..<500).map { _ in UInt8.random(in: 0...255) })
            stream.close()
        }
        let raw = try await world.loop.connect(.unix(world.path))
        let even = Frame(
            stream: 2, kind: .request, data: TTRPCRequest(service: "s", method: "echo", payload: []).encoded())
        try await raw.write(even.encoded() ?? [])
        var decoder = FrameDecoder()
        decoder.append(try await raw.read(max: 4096))
        guard case .frame(let answer) = decoder.next() else { throw BerthError(.internal, "no answer") }
        #expect(try TTRPCResponse(decoding: answer.data).status?.error?.code == .invalidArgument)
        raw.close()
        let client = try await world.client()
        #expect(try await client.call("s", "echo", [7], timeout: .seconds(60)) == [7])
        client.close()
        await world.end()
    }

    @Test func `messages of a streaming answer come before its end`() async throws {
        let loop = try EventLoop("test")
        let path = "/tmp/berth-ttrpc-\(getpid())-stream.sock"
        let listener = try Listener(.unix(path), on: loop)
        let serving = Task {
            let stream = try await listener.accept()
            var decoder = FrameDecoder()
            decoder.append(try await stream.read(max: 4096))
            guard case .frame(let request) = decoder.next() else { return }
            for byte in UInt8(1)...3 {
                try await stream.write(Frame(stream: request.stream, kind: .data, data: [byte]).encoded() ?? [])
            }
            let end = TTRPCResponse(payload: [9]).encoded()
            try await stream.write(Frame(stream: request.stream, kind: .response, data: end).encoded() ?? [])
            _ = try? await stream.read(max: 1)
        }
        let client = try await TTRPCClient.connect(to: path, named: "the server", on: loop)
        let got = Shared<[UInt8]>([])
        let end = try await client.call("s", "m", [], timeout: .seconds(60)) { data in got.withLock { $0 += data } }
        #expect(got.withLock { $0 } == [1, 2, 3])
        #expect(end == [9])
        client.close()
        _ = await serving.result
        listener.close()
        loop.stop()
    }
}
