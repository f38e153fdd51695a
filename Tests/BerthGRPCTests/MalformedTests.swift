import BerthBase
import BerthIO
import Testing

@testable import BerthGRPC

/// Requests that are no proper gRPC calls: each gets its code, and the connection goes on.
@Suite struct MalformedTests {
    private static let echo = "/test.v1.Test/Echo"

    private func call(
        _ change: (inout [(String, String)]) -> Void, body: [UInt8] = [0, 0, 0, 0, 0]
    ) async throws -> OddCall {
        let world = try World()
        var request = RawPeer.request(Self.echo)
        change(&request)
        let call = try await OddCall(world, request, body: body)
        #expect(world.probe.calls.isEmpty)
        return call
    }

    @Test(.timeLimit(.minutes(1))) func `a proper call is answered with everything gRPC wants`() async throws {
        let world = try World()
        let call = try await OddCall(world, RawPeer.request(Self.echo), body: [0, 0, 0, 0, 2, 7, 8])
        #expect(call.fields[":status"] == "200" && call.fields["content-type"] == "application/grpc")
        #expect(call.fields["grpc-status"] == "0" && call.body == [0, 0, 0, 0, 2, 7, 8])
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: ["application/grpc+proto", "application/grpc;charset=x", "application/grpc"])
    func `these content types are gRPC`(type: String) async throws {
        let world = try World()
        let request = RawPeer.request(Self.echo).map { $0.0 == "content-type" ? ($0.0, type) : $0 }
        #expect(try await OddCall(world, request, body: [0, 0, 0, 0, 0]).fields["grpc-status"] == "0")
    }

    @Test(
        .timeLimit(.minutes(1)), arguments: ["application/json", "application/grpc-web", "application/grpcx", "", nil])
    func `any other content type is 415`(type: String?) async throws {
        let call = try await call { request in
            request.removeAll { $0.0 == "content-type" }
            if let type { request.append(("content-type", type)) }
        }
        #expect(call.fields[":status"] == "415" && call.code == .invalidArgument)
    }

    @Test(.timeLimit(.minutes(1))) func `a method other than POST is 405`() async throws {
        let call = try await call { $0[0].1 = "PUT" }
        #expect(call.fields[":status"] == "405" && call.code == .internal)
    }

    @Test(.timeLimit(.minutes(1)), arguments: ["gzip", "deflate", "zstd"])
    func `compression is refused by name, and identity offered`(encoding: String) async throws {
        let call = try await call { $0.append(("grpc-encoding", encoding)) }
        #expect(call.code == .unimplemented && call.fields["grpc-accept-encoding"] == "identity")
        #expect(call.fields["grpc-message"]?.contains(encoding) == true)
    }

    @Test(.timeLimit(.minutes(1))) func `a message marked as compressed without an encoding is internal`() async throws
    {
        let call = try await call({ _ in }, body: [1, 0, 0, 0, 1, 0])
        #expect(call.code == .internal)
    }

    @Test(.timeLimit(.minutes(1)), arguments: ["", "5", "S", "123456789S", "5x", "-5S", "5 S"])
    func `a malformed deadline is refused`(timeout: String) async throws {
        let call = try await call { $0.append(("grpc-timeout", timeout)) }
        #expect(call.fields[":status"] == "400" && call.code == .internal)
    }

    @Test(.timeLimit(.minutes(1))) func `binary metadata that is no base64 is refused`() async throws {
        let call = try await call { $0.append(("x-bin", "***")) }
        #expect(call.fields[":status"] == "400" && call.code == .internal)
    }

    @Test(.timeLimit(.minutes(1))) func `a request that ends within a message is internal`() async throws {
        for body: [UInt8] in [[0, 0], [0, 0, 0, 0, 9, 1, 2]] {
            let call = try await call({ _ in }, body: body)
            #expect(call.code == .internal && call.fields["grpc-message"]?.contains("within a message") == true)
        }
    }

    @Test(.timeLimit(.minutes(1))) func `a unary call with no or two messages is internal`() async throws {
        #expect(try await call({ _ in }, body: []).code == .internal)
        #expect(try await call({ _ in }, body: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).code == .internal)
    }

    @Test(.timeLimit(.minutes(1))) func `a message over the limit is resource exhausted, before it is there`()
        async throws
    {
        var limits = GRPCLimits()
        limits.maxMessageBytes = 1000
        let world = try World(limits)
        let fits = [0, 0, 0, 3, 232] + [UInt8](repeating: 1, count: 1000)
        #expect(try await OddCall(world, RawPeer.request(Self.echo), body: fits).fields["grpc-status"] == "0")
        #expect(
            try await OddCall(world, RawPeer.request(Self.echo), body: [0, 0, 0, 3, 233]).code == .resourceExhausted)
        #expect(
            try await OddCall(world, RawPeer.request(Self.echo), body: [0, 255, 255, 255, 255]).code
                == .resourceExhausted)
    }

    @Test(.timeLimit(.minutes(1))) func `requests held by all calls together are bounded`() async throws {
        var limits = GRPCLimits()
        limits.maxHeldBytes = 100_000
        let world = try World(limits)
        let client = try await world.client()
        let message = [UInt8](repeating: 1, count: 60_000)
        let first = Task { try await client.unary("/test.v1.Test/Hang", message) }
        try await world.eventually("the first is held") { world.probe.started == 1 }
        #expect(await failure { try await client.unary(Self.echo, message) }?.code == .resourceExhausted)
        first.cancel()
        _ = await first.result
        try await world.eventually("there is room again") {
            await failure { try await client.unary(Self.echo, message) } == nil
        }
    }

    @Test(.timeLimit(.minutes(1))) func `headers over the limit are resource exhausted`() async throws {
        var limits = GRPCLimits()
        limits.maxHeaderListBytes = 5000
        let world = try World(limits)
        for (size, isRefused) in [(4000, false), (5000, true), (9000, true)] {
            let request = RawPeer.request(Self.echo, [("x", String(repeating: "x", count: size))])
            let call = try await OddCall(world, request, body: [0, 0, 0, 0, 0])
            #expect(call.fields["grpc-status"] == (isRefused ? "8" : "0"))
            #expect(call.fields[":status"] == (isRefused ? "431" : "200"))
        }
        let request = RawPeer.request(Self.echo, [("x", String(repeating: "x", count: 11_000))])
        #expect(try await OddCall(world, request, body: []).reset != 0)
    }

    @Test(.timeLimit(.minutes(1)), arguments: ["Echo", "EchoAll"])
    func `trailers of a request end it, and nothing more`(method: String) async throws {
        let world = try World()
        let peer = try await RawPeer(world)
        let trailers = RawPeer.block([("x-late", "1")])
        try await peer.send(RawPeer.headers(1, "/test.v1.Test/\(method)"))
        try await peer.send(RawPeer.frame(0, 0, 1, [0, 0, 0, 0, 1, 9]) + RawPeer.frame(1, 5, 1, trailers))
        let data = try #require(try await peer.first { $0.type == 0 })
        #expect(data.payload == [0, 0, 0, 0, 1, 9])
        #expect(try await peer.first { $0.stream == 1 && $0.flags & 1 != 0 } != nil)
        try await world.eventually("one report") { world.reports.withLock { $0.count } == 1 }
        #expect(world.reports.withLock { $0[0].code } == nil)
        #expect(world.probe.calls.allSatisfy { $0.text("x-late") == nil })
    }

    @Test(.timeLimit(.minutes(1))) func `a long error message is cut between its escapes`() {
        for extra in 0..<4 {
            let text = String(repeating: "a", count: extra) + String(repeating: "ü", count: 5000)
            let fields = AnswerFields.status(BerthError(.unknown, text))
            let message = PercentText.decode(fields[1].value)
            #expect(fields[1].value.count <= AnswerFields.maxMessageBytes)
            #expect(message.allSatisfy { $0 == "a" || $0 == "ü" || $0 == "\u{fffd}" } && !message.contains("%"))
        }
    }
}
