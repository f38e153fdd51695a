import BerthAPI
import BerthBase
import BerthGRPC
import BerthKernel
import BerthServices
import SwiftProtobuf
import Testing

@testable import ServersPlugins

@Suite struct HealthTests {
    private typealias Response = Grpc_Health_V1_HealthCheckResponse

    private func request(_ service: String) throws -> [UInt8] {
        var request = Grpc_Health_V1_HealthCheckRequest()
        request.service = service
        return try request.serializedBytes()
    }

    private func check(_ client: GRPCClient, _ service: String) async throws -> Response.ServingStatus {
        try Response(serializedBytes: await client.unary("/grpc.health.v1.Health/Check", request(service))).status
    }

    @Test(.timeLimit(.minutes(1))) func `plugins, services and the whole have a health`() async throws {
        let world = try World(
            enable: ["server.grpc", "rpc.version", "rpc.health", "rpc.failing"], plugins: [.failing])
        try await world.kernel.start()
        let client = try await world.client()
        for name in [
            "", "server.grpc", "rpc.version", "grpc.health.v1.Health", "containerd.services.version.v1.Version",
        ] {
            #expect(try await check(client, name) == .serving, "\(name)")
        }
        #expect(try await check(client, "rpc.failing") == .notServing)
        let error = await failure { try await check(client, "rpc.nobody") }
        #expect(error?.code == .notFound)
        await world.kernel.stop()
    }

    @Test(.timeLimit(.minutes(1))) func `a watcher is told at once, and when the daemon stops`() async throws {
        let world = try World()
        try await world.kernel.start()
        let client = try await world.client()
        var known = try await client.serverStreaming("/grpc.health.v1.Health/Watch", request("")).makeAsyncIterator()
        var unknown = try await client.serverStreaming("/grpc.health.v1.Health/Watch", request("x")).makeAsyncIterator()
        #expect(try Response(serializedBytes: #require(try await known.next())).status == .serving)
        #expect(try Response(serializedBytes: #require(try await unknown.next())).status == .serviceUnknown)
        let stop = Task { [kernel = world.kernel] in await kernel.stop() }
        #expect(try Response(serializedBytes: #require(try await known.next())).status == .notServing)
        client.close()
        await stop.value
    }
}

extension Plugin {
    /// A plugin that cannot start.
    static let failing = Plugin("failing", provides: .rpc, config: NoConfig.self) { _ -> any RPCProvider in
        throw BerthError(.internal, "it cannot")
    }
}
