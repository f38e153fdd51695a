import BerthBase
import BerthIO
import Testing

@testable import BerthGRPC

/// Peers that want more than their share: each is sent away, and nobody else notices.
@Suite struct FloodTests {
    private static let echo = "/test.v1.Test/Echo"
    private static let calm: UInt32 = 0xb

    /// Sends until the server closes or `count` is reached; the frames that came.
    private func flood(_ peer: RawPeer, _ count: Int, _ bytes: @escaping @Sendable (Int) -> [UInt8]) async throws
        -> [RawPeer.Frame]
    {
        let writer = Task {
            for number in 0..<count where await !peer.push(bytes(number)) { return number }
            return count
        }
        let frames = try await peer.rest()
        peer.stream.close()
        #expect(await writer.value <= count)
        return frames
    }

    /// Another client is answered fast while the flood goes on.
    private func neighbour(_ world: World) async throws -> Task<Duration, any Error> {
        let client = try await world.client()
        _ = try await client.unary(Self.echo, [1])
        return Task {
            var worst = Duration.zero
            for _ in 0..<50 {
                let begin = ContinuousClock.now
                _ = try await client.unary(Self.echo, [1])
                worst = max(worst, .now - begin)
                try await Task.sleep(for: .milliseconds(2))
            }
            return worst
        }
    }

    @Test(.timeLimit(.minutes(1))) func `rapid resets end the connection and start few handlers`() async throws {
        let world = try World()
        let neighbour = try await neighbour(world)
        let peer = try await RawPeer(world)
        let frames = try await flood(peer, 100_000) { number in
            let stream = UInt32(2 * number + 1)
            return RawPeer.call(stream, "/test.v1.Test/Hang") + RawPeer.frame(3, 0, stream, RawPeer.big(8))
        }
        #expect(frames.contains { $0.type == 7 && $0.error == Self.calm && $0.text == "too many resets" })
        #expect(world.probe.started <= GRPCLimits().maxResetsPerSecond + 1)
        #expect(try await neighbour.value < .seconds(1))
        try await world.eventually("its handlers are cancelled") { world.probe.cancelled == world.probe.started }
    }

    @Test(.timeLimit(.minutes(1))) func `resets provoked by bad frames count as well`() async throws {
        let world = try World()
        let peer = try await RawPeer(world)
        let frames = try await flood(peer, 100_000) { number in
            let stream = UInt32(2 * number + 1)
            // A window over 2^31 - 1 is an error of the stream: the server has to reset it.
            return RawPeer.call(stream, "/test.v1.Test/Hang") + RawPeer.frame(8, 0, stream, RawPeer.big(0x7fff_ffff))
        }
        #expect(frames.contains { $0.type == 3 && $0.error == 3 })
        #expect(frames.contains { $0.type == 7 && $0.error == Self.calm && $0.text == "too many resets" })
        // What one read brought is still handled before the peer is sent away.
        #expect(world.probe.started <= 2 * GRPCLimits().maxResetsPerSecond + 600)
    }

    @Test(.timeLimit(.minutes(1))) func `handlers that do not notice a reset are bounded`() async throws {
        var limits = GRPCLimits()
        limits.maxConcurrentStreams = 8
        limits.maxResetsPerSecond = 1000
        let world = try World(limits)
        let peer = try await RawPeer(world)
        for number in 0..<100 {
            let stream = UInt32(2 * number + 1)
            try await peer.send(
                RawPeer.call(stream, "/test.v1.Test/Stubborn") + RawPeer.frame(3, 0, stream, RawPeer.big(8)))
        }
        try await peer.send(RawPeer.frame(6, 0, 0, [UInt8](repeating: 0, count: 8)))
        #expect(try await peer.first { $0.type == 6 } != nil)
        #expect(world.probe.started == 16)
    }

    @Test(.timeLimit(.minutes(1))) func `a flood of CONTINUATION ends the connection`() async throws {
        let world = try World()
        let neighbour = try await neighbour(world)
        let peer = try await RawPeer(world)
        let frames = try await flood(peer, 100_000) { number in
            number == 0
                ? RawPeer.frame(1, 1, 1, RawPeer.block(RawPeer.request(Self.echo)))
                : RawPeer.frame(9, 0, 1, RawPeer.block([("x", "y")]))
        }
        #expect(!frames.contains { $0.stream == 1 && $0.type == 1 })
        #expect(try await neighbour.value < .seconds(1))
        try await world.eventually("both are forgotten") { await world.server.connections == 0 }
    }

    @Test(.timeLimit(.minutes(1))) func `a header list of 1 MiB ends the connection`() async throws {
        let world = try World()
        let peer = try await RawPeer(world)
        let part = RawPeer.block([("x", String(repeating: "y", count: 16_000))])
        _ = try await flood(peer, 66) { RawPeer.frame($0 == 0 ? 1 : 9, $0 == 65 ? 4 : $0 == 0 ? 1 : 0, 1, part) }
        #expect(world.reports.withLock { $0.allSatisfy { $0.code != nil } })
    }

    @Test(.timeLimit(.minutes(1)), arguments: [UInt8(4), 6, 2])
    func `a flood of SETTINGS, PING or PRIORITY ends the connection`(type: UInt8) async throws {
        var limits = GRPCLimits()
        limits.minPingInterval = .zero
        let world = try World(limits)
        let peer = try await RawPeer(world)
        let payload = [UInt8](repeating: 0, count: type == 4 ? 0 : type == 6 ? 8 : 5)
        let frames = try await flood(peer, 1_000_000) { _ in RawPeer.frame(type, 0, type == 2 ? 1 : 0, payload) }
        #expect(frames.contains { $0.type == 7 && $0.error == Self.calm && $0.text == "too many control frames" })
    }

    @Test(.timeLimit(.minutes(1))) func `a flood of empty DATA ends the connection`() async throws {
        let world = try World()
        let peer = try await RawPeer(world)
        let frames = try await flood(peer, 1_000_000) { number in
            number == 0 ? RawPeer.headers(1, "/test.v1.Test/EchoAll") : RawPeer.frame(0, 0, 1, [])
        }
        #expect(frames.contains { $0.type == 7 && $0.error == Self.calm && $0.text == "too many control frames" })
    }

    @Test(.timeLimit(.minutes(1))) func `a SETTINGS frame with too many entries ends the connection`() async throws {
        let world = try World()
        let peer = try await RawPeer(world, greet: false)
        let entry: [UInt8] = [0, 3, 0, 0, 0, 1]
        try await peer.send(RawPeer.preface + RawPeer.frame(4, 0, 0, (0..<33).flatMap { _ in entry }))
        #expect(try await peer.rest().contains { $0.type == 7 && $0.error != 0 })
    }

    @Test(.timeLimit(.minutes(1))) func `a peer that pings all the time without calling is sent away`() async throws {
        let world = try World()
        let peer = try await RawPeer(world)
        let ping = RawPeer.frame(6, 0, 0, [UInt8](repeating: 0, count: 8))
        // Calls in between make pings useful.
        for stream in [UInt32(1), 3, 5, 7] {
            try await peer.send(ping + ping + RawPeer.call(stream, Self.echo))
            #expect(try await peer.first { $0.stream == stream && $0.flags & 1 != 0 } != nil)
        }
        try await peer.send(ping + ping + ping + ping)
        let goaway = try #require(try await peer.first { $0.type == 7 })
        #expect(goaway.error == Self.calm && goaway.text == "too_many_pings")
        #expect(try await peer.rest().allSatisfy { $0.type != 1 })
    }

    @Test(.timeLimit(.minutes(1))) func `more streams than allowed are refused`() async throws {
        var limits = GRPCLimits()
        limits.maxConcurrentStreams = 4
        let world = try World(limits)
        let peer = try await RawPeer(world)
        for number in 0..<6 { try await peer.send(RawPeer.call(UInt32(2 * number + 1), "/test.v1.Test/Hang")) }
        let refused = try #require(try await peer.first { $0.type == 3 })
        #expect(refused.error == 7 && refused.stream == 9)
        try await world.eventually("four run") { world.probe.started == 4 }
        peer.stream.close()
        try await world.eventually("four are cancelled") { world.probe.cancelled == 4 }
    }

    @Test(.timeLimit(.minutes(1))) func `a peer that never reads what it provokes is closed`() async throws {
        var limits = GRPCLimits()
        limits.maxConcurrentStreams = 1
        limits.maxResetsPerSecond = 1_000_000
        let world = try World(limits)
        let peer = try await RawPeer(world)
        // Each refused stream makes a RST_STREAM that finds no room in the socket.
        var stream: UInt32 = 1
        while stream < 2_000_000, await peer.push(RawPeer.call(stream, "/test.v1.Test/Hang")) { stream += 2 }
        #expect(stream < 2_000_000)
        try await world.eventually("it is forgotten") { await world.server.connections == 0 }
    }

    @Test(.timeLimit(.minutes(1))) func `more connections than allowed are closed`() async throws {
        var limits = GRPCLimits()
        limits.maxConnections = 2
        let world = try World(limits)
        let clients = [try await world.client(), try await world.client()]
        for client in clients { _ = try await client.unary(Self.echo, [1]) }
        let third = try await world.client()
        #expect(await failure { try await third.unary(Self.echo, [1]) }?.code == .unavailable)
        clients[0].close()
        try await world.eventually("there is room again") {
            let next = try await world.client()
            return await failure { try await next.unary(Self.echo, [1]) } == nil
        }
    }

    @Test(.timeLimit(.minutes(1))) func `a silent connection is closed, one that spoke is pinged`() async throws {
        var limits = GRPCLimits()
        limits.handshake = .milliseconds(300)
        limits.keepaliveTime = .milliseconds(100)
        limits.keepaliveTimeout = .milliseconds(500)
        let world = try World(limits)
        #expect(try await RawPeer(world, greet: false).rest().allSatisfy { $0.type == 4 || $0.type == 8 })
        let peer = try await RawPeer(world)
        let ping = try #require(try await peer.first { $0.type == 6 })
        try await peer.send(RawPeer.frame(6, 1, 0, ping.payload))
        // Answered: it is asked again; then it keeps silent, and is closed.
        #expect(try await peer.first { $0.type == 6 } != nil)
        #expect(try await peer.rest().allSatisfy { $0.type != 6 })
    }

    @Test(.timeLimit(.minutes(1))) func `what is not HTTP 2 is closed`() async throws {
        let world = try World()
        for garbage in [
            bytes("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), [UInt8](repeating: 0, count: 64), RawPeer.preface + [255],
        ] {
            let peer = try await RawPeer(world, greet: false)
            _ = await peer.push(garbage + RawPeer.frame(200, 255, 7, [UInt8](repeating: 1, count: 20_000)))
            _ = try await peer.rest()
        }
        try await world.eventually("all are forgotten") { await world.server.connections == 0 }
    }

    @Test(.timeLimit(.minutes(2))) func `random frames never stop the server`() async throws {
        let world = try World()
        let client = try await world.client()
        for _ in 0..<300 {
            let peer = try await RawPeer(world)
            var bytes = (0..<8).flatMap { RawPeer.call(UInt32(2 * $0 + 1), Self.echo, [1, 2, 3]) }
            for _ in 0..<Int.random(in: 1...12) { bytes[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...255) }
            _ = await peer.push(bytes)
            peer.stream.shutdownWrite()
            _ = try await peer.rest()
            peer.stream.close()
        }
        #expect(try await client.unary(Self.echo, [9]) == [9])
        try await world.eventually("all are forgotten") { await world.server.connections == 1 }
    }

    @Test(.timeLimit(.minutes(1))) func `draining says goodbye twice, and takes what was on its way`() async throws {
        let world = try World()
        let peer = try await RawPeer(world)
        try await peer.send(RawPeer.call(1, "/test.v1.Test/Stubborn"))
        try await world.eventually("it runs") { world.probe.started == 1 }
        let drain = Task { [server = world.server] in await server.drain(within: .seconds(10)) }
        let notice = try #require(try await peer.first { $0.type == 7 })
        #expect(notice.error == 0 && notice.last == 0x7fff_ffff)
        try await peer.send(RawPeer.call(3, Self.echo))
        let ping = try #require(try await peer.first { $0.type == 6 && $0.flags == 0 })
        try await peer.send(RawPeer.frame(6, 1, 0, ping.payload))
        let frames = try await peer.rest()
        #expect(frames.contains { $0.type == 7 && $0.error == 0 && $0.last == 3 })
        for stream in [UInt32(1), 3] { #expect(frames.contains { $0.stream == stream && $0.flags & 1 != 0 }) }
        await drain.value
    }
}
