import BerthBase
import BerthGRPC
import BerthIO
import Glibc
import Testing

/// How calls end before their answer: deadlines, cancellation, lost connections, a server that stops.
@Suite struct EndTests {
    @Test(.timeLimit(.minutes(1))) func `a passed deadline cancels the handler and answers at once`()
        async throws
    {
        let world = try World()
        let client = try await world.client()
        let begin = ContinuousClock.now
        let error = await failure {
            try await client.unary("/test.v1.Test/Hang", [], timeout: .milliseconds(50))
        }
        #expect(error?.code == .deadlineExceeded)
        #expect(ContinuousClock.now - begin < .seconds(5))
        try await world.eventually("the handler is cancelled") { world.probe.cancelled == 1 }
        #expect(try await client.unary("/test.v1.Test/Echo", [1]) == [1])
    }

    @Test(.timeLimit(.minutes(1))) func `a deadline is the server's own, whatever the client does`()
        async throws
    {
        let world = try World()
        let client = try await world.client()
        // Sent as metadata, so that the client itself keeps none.
        let error = await failure {
            try await client.unary("/test.v1.Test/Hang", [], metadata: [("grpc-timeout", bytes("50m"))])
        }
        #expect(error?.code == .deadlineExceeded)
        #expect(error?.message.contains("the deadline passed") == true)
    }

    @Test(.timeLimit(.minutes(1))) func `cancelling a call cancels its handler and no other`() async throws {
        let world = try World()
        let client = try await world.client()
        let first = Task { try await client.unary("/test.v1.Test/Hang", []) }
        let second = Task { try await client.unary("/test.v1.Test/Hang", []) }
        try await world.eventually("both run") { world.probe.started == 2 }
        first.cancel()
        #expect(await failure { try await first.value }?.code == .cancelled)
        try await world.eventually("one is cancelled") { world.probe.cancelled == 1 }
        try await Task.sleep(for: .milliseconds(50))
        #expect(world.probe.cancelled == 1)
        second.cancel()
        _ = await second.result
    }

    @Test(.timeLimit(.minutes(1))) func `a lost connection cancels handlers and wakes writers`() async throws {
        let world = try World()
        let client = try await world.client()
        let hang = Task { try await client.unary("/test.v1.Test/Hang", []) }
        let answers = try await client.serverStreaming("/test.v1.Test/Source", [1, 0, 0])
        try await world.eventually("the writer waits for the window") {
            let before = world.probe.sent
            try await Task.sleep(for: .milliseconds(50))
            return before > 0 && world.probe.sent == before && world.probe.started == 2
        }
        client.close()
        #expect(await failure { try await hang.value } != nil)
        try await world.eventually("both are cancelled") { world.probe.cancelled == 2 }
        try await world.eventually("the connection is forgotten") { await world.server.connections == 0 }
        _ = answers
    }

    @Test(.timeLimit(.minutes(1))) func `a slow reader stops the writer, within the limit`() async throws {
        var limits = GRPCLimits()
        limits.maxUnsentBytes = 100_000
        let world = try World(limits)
        let client = try await world.client()
        // 1000 messages of 10 000 bytes.
        let answers = try await client.serverStreaming("/test.v1.Test/Source", [0x27, 0x10])
        try await world.eventually("the writer waits") {
            let before = world.probe.sent
            try await Task.sleep(for: .milliseconds(50))
            return before > 0 && world.probe.sent == before
        }
        // Our unsent, the client's window and unread, and what the kernel's socket buffers hold.
        #expect(world.probe.sent < 150)
        var count = 0
        for try await message in answers {
            #expect(message.count == 10_000 && message[0] == UInt8(count & 255))
            count += 1
        }
        #expect(count == 1000)
    }

    @Test(.timeLimit(.minutes(1))) func `a handler that does not read stops the sender, within the limit`() async throws
    {
        let world = try World()
        let client = try await world.client()
        let call = client.streaming("/test.v1.Test/Deaf")
        let sent = Shared(0)
        let sender = Task {
            for _ in 0..<1000 {
                try await call.send([UInt8](repeating: 0, count: 10_000))
                sent.withLock { $0 += 1 }
            }
        }
        try await world.eventually("the sender waits") {
            let before = sent.withLock { $0 }
            try await Task.sleep(for: .milliseconds(100))
            return before > 0 && sent.withLock { $0 } == before
        }
        // Unread and window here, unsent there: 256 KiB each.
        #expect(sent.withLock { $0 } < 120)
        // The connection's window is not held by it.
        #expect(
            try await client.unary("/test.v1.Test/Echo", [UInt8](repeating: 1, count: 2_000_000)).count == 2_000_000)
        call.cancel()
        #expect(await failure { try await sender.value }?.code == .cancelled)
    }

    @Test(.timeLimit(.minutes(1))) func `a slow handler gets everything`() async throws {
        let world = try World()
        let client = try await world.client()
        let call = client.streaming("/test.v1.Test/Sink")
        for _ in 0..<200 { try await call.send([UInt8](repeating: 0, count: 10_000)) }
        call.endSending()
        #expect(try await call.next() == bytes("2000000"))
    }

    @Test(.timeLimit(.minutes(1))) func `draining lets calls end and takes no new ones`() async throws {
        let world = try World()
        let client = try await world.client()
        let running = Task { try await client.unary("/test.v1.Test/Stubborn", [5]) }
        try await world.eventually("it runs") { world.probe.started == 1 }
        let begin = ContinuousClock.now
        let drain = Task { [server = world.server] in await server.drain(within: .seconds(20)) }
        try await world.eventually("new calls are refused") {
            await failure { try await client.unary("/test.v1.Test/Echo", []) }?.code == .unavailable
        }
        #expect(try await running.value == [5])
        await drain.value
        #expect(ContinuousClock.now - begin < .seconds(5))
        #expect(await world.server.connections == 0)
    }

    @Test(.timeLimit(.minutes(1))) func `draining cuts off what does not end in time`() async throws {
        let world = try World()
        let client = try await world.client()
        let running = Task { try await client.unary("/test.v1.Test/Hang", []) }
        try await world.eventually("it runs") { world.probe.started == 1 }
        await world.server.drain(within: .milliseconds(100))
        #expect(await failure { try await running.value }?.code == .unavailable)
        try await world.eventually("it is cancelled") { world.probe.cancelled == 1 }
    }

    @Test(.timeLimit(.minutes(1))) func `a peer that closes right behind its last bytes is forgotten`() async throws {
        let world = try World()
        let peer = try await RawPeer(world)
        try await world.eventually("it is there") { await world.server.connections == 1 }
        // The loop sees bytes and end as one event.
        world.loop.execute { usleep(50_000) }
        try await peer.send(RawPeer.call(1, "/test.v1.Test/Hang"))
        peer.stream.close()
        try await world.eventually("it is forgotten") { await world.server.connections == 0 }
        #expect(world.probe.cancelled == world.probe.started)
    }
}
