import BerthAPI
import BerthBase
import BerthGRPC
import BerthIO
import BerthKernel
import BerthServices
import BerthSystem
import BerthTestSupport
import Glibc
import SwiftProtobuf
import SystemPackage
import Testing

@testable import ServersPlugins

@Suite struct ServerTests {
    private static let version = "/containerd.services.version.v1.Version/Version"

    @Test(.timeLimit(.minutes(1))) func `sockets are there from the start, private, and gone after the stop`()
        async throws
    {
        let folder = try TemporaryFolder("berth-servers")
        let world = try World(settings: "extra_addresses = [\"\(folder.path)/deep/er/extra.sock\"]\ngid = 12345")
        try await world.kernel.start()
        for path in [world.socket, folder.path + "/deep/er/extra.sock"] {
            let status = try Files.status(path)
            #expect(status.mode & 0o7777 == 0o660 && status.uid == getuid() && status.gid == 12345)
            let client = try await GRPCClient.connect(unix: path)
            let answer = try await client.unary(Self.version, [])
            let response = try Containerd_Services_Version_V1_VersionResponse(serializedBytes: answer)
            #expect(response.version == BerthVersion.current)
        }
        #expect(try Files.status(folder.path + "/deep").mode & 0o777 == 0o711)
        await world.kernel.stop()
        #expect(throws: Errno.noSuchFileOrDirectory) { _ = try Files.status(world.socket) }
    }

    @Test(.timeLimit(.minutes(1))) func `a live socket is left to its server`() async throws {
        let first = try World()
        try await first.kernel.start()
        let second = try World(folder: first.folder)
        let error = await failure { try await second.kernel.start() }
        #expect(error?.description.contains("somebody listens there") == true, "\(String(describing: error))")
        let client = try await first.client()
        _ = try await client.unary(Self.version, [])
        await first.kernel.stop()
    }

    @Test(.timeLimit(.minutes(1))) func `a socket that a dead daemon left is replaced`() async throws {
        let world = try World()
        let loop = try EventLoop("test-servers")
        let stale = try Listener(.unix(world.socket), on: loop)
        rename(world.socket, world.socket + ".aside")
        stale.close()
        rename(world.socket + ".aside", world.socket)
        loop.stop()
        try await world.kernel.start()
        let client = try await world.client()
        _ = try await client.unary(Self.version, [])
        await world.kernel.stop()
    }

    @Test(.timeLimit(.minutes(1))) func `a call under way ends before the daemon does`() async throws {
        let world = try World(enable: ["server.grpc", "rpc.slow"], plugins: [.slow])
        try await world.kernel.start()
        let client = try await world.client()
        let call = Task { try await client.unary("/test.v1.Slow/Wait", [1, 44]) }
        try await Task.sleep(for: .milliseconds(100))
        await world.kernel.stop()
        #expect(try await call.value == [1, 44])
    }

    @Test(.timeLimit(.minutes(1))) func `a call that does not end is cut off after the drain time`() async throws {
        let world = try World(
            enable: ["server.grpc", "rpc.slow"], settings: "drain_seconds = 0", plugins: [.slow])
        try await world.kernel.start()
        let client = try await world.client()
        let call = Task { try await client.unary("/test.v1.Slow/Wait", [255, 255]) }
        try await Task.sleep(for: .milliseconds(100))
        let begin = ContinuousClock.now
        await world.kernel.stop()
        #expect(ContinuousClock.now - begin < .seconds(5))
        #expect(await failure { try await call.value }?.code == .unavailable)
    }

    @Test(.timeLimit(.minutes(1))) func `limits come from the configuration`() async throws {
        let world = try World(settings: "max_message_bytes = 10\nmax_connections = 1")
        try await world.kernel.start()
        let client = try await world.client()
        _ = try await client.unary(Self.version, [])
        #expect(
            await failure { try await client.unary(Self.version, .init(repeating: 0, count: 11)) }?.code
                == .resourceExhausted)
        let second = try await world.client()
        #expect(await failure { try await second.unary(Self.version, []) }?.code == .unavailable)
        await world.kernel.stop()
    }

    @Test(
        arguments: [
            ("extra_addresses = [\"relative.sock\"]", "address 'relative.sock' is no absolute path"),
            ("max_connections = 0", "max_connections is 0 and must be from 1 to 2147483647"),
            ("drain_seconds = -1", "drain_seconds is -1 and must be from 0 to 2147483647"),
            ("extra_addresses = [\"/a.sock\", \"/a.sock\"]", "extra_addresses names a socket twice"),
            ("max_conections = 1", "max_conections"),
        ])
    func `settings that make no sense are refused`(settings: String, message: String) {
        let error = #expect(throws: (any Error).self) { _ = try World(settings: settings) }
        #expect(error.map { "\($0)" }?.contains(message) == true, "\(String(describing: error))")
    }

    @Test(.timeLimit(.minutes(1))) func `every call writes one line`() async throws {
        let world = try World(
            enable: ["server.grpc", "rpc.version", "rpc.slow"], settings: "slow_call_milliseconds = 50",
            plugins: [.slow])
        try await world.kernel.start()
        let client = try await world.client()
        _ = try await client.unary(Self.version, [])
        _ = try await client.unary("/test.v1.Slow/Wait", [0, 100])
        _ = await failure { try await client.unary("/test.v1.Slow/Break", []) }
        _ = await failure { try await client.unary("/test.v1.Slow/Nothing", []) }
        try await eventually("four lines") { world.log.all.filter { $0.contains("rpc=/") }.count == 4 }
        let lines = world.log.all.filter { $0.contains("rpc=/") }
        #expect(lines[0].hasPrefix("debug call code=ok elapsed_ms="))
        #expect(lines[1].hasPrefix("info call code=ok") && lines[1].contains("rpc=/test.v1.Slow/Wait"))
        #expect(lines[2].hasPrefix("info call code=dataLoss") && lines[2].contains("error=broken"))
        #expect(lines[3].hasPrefix("debug call code=unimplemented"))
        #expect(lines.allSatisfy { $0.contains("peer_pid=\(getpid())") })
        await world.kernel.stop()
    }

    @Test(.timeLimit(.minutes(1)), .enabled(if: access("/usr/bin/ctr", X_OK) == 0, "no ctr: Debian's containerd"))
    func `ctr asks for the version over gRPC's Go client`() async throws {
        let world = try World()
        try await world.kernel.start()
        let command = ChildProcess.Command(
            "/usr/bin/ctr", ["--address", world.socket, "version"], environment: ["PATH=/usr/bin"],
            input: [], deadline: .seconds(20))
        var uuids: Set<String> = []
        for _ in 1...2 {
            let outcome = try await Blocking.run(on: Blocking.foreign) { try ChildProcess.run(command) }
            let text = String(decoding: outcome.output, as: UTF8.self)
            #expect(outcome.status == 0 && text.contains("Version:  \(BerthVersion.current)"), "\(text)")
            let uuid = text.split(separator: "\n").first { $0.contains("UUID: ") }
            uuids.insert(String(try #require(uuid)))
        }
        #expect(uuids.count == 1)
        await world.kernel.stop()
    }
}

extension Plugin {
    /// A service whose calls take as many milliseconds as the request says.
    static let slow = Plugin("slow", provides: .rpc, config: NoConfig.self) { _ in SlowProvider() }
}

private struct SlowProvider: GRPCProvider, GRPCService {
    var label: String { "slow" }
    var services: [any GRPCService] { [self] }
    var name: String { "test.v1.Slow" }
    var methods: [GRPCMethod] {
        [
            GRPCMethod(
                "Wait",
                .unary { bytes, _ in
                    try await Task.sleep(for: .milliseconds(bytes.reduce(0) { $0 << 8 | Int($1) }))
                    return bytes
                }),
            GRPCMethod("Break", .unary { _, _ in throw BerthError(.dataLoss, "broken") }),
        ]
    }
}
