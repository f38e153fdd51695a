import BerthBase
import BerthGRPC
import BerthSystem
import Glibc
import Testing

/// Clients that nobody here wrote.
@Suite struct RealClientTests {
    private static let repository = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    private static let echo = "/test.v1.Test/Echo"

    /// The interpreter that `scripts/make-python` made, if it did.
    static var python: String? {
        let path = getenv("BERTH_PYTHON").map { String(cString: $0) } ?? repository + "/.build/python/bin/python"
        return access(path, X_OK) == 0 ? path : nil
    }

    private func run(_ path: String, _ arguments: [String]) async throws -> String {
        let command = ChildProcess.Command(
            path, arguments, environment: ["PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"], input: [],
            deadline: .seconds(100))
        let outcome = try await Blocking.run(on: Blocking.foreign) { try ChildProcess.run(command) }
        let text = String(decoding: outcome.output + outcome.errors, as: UTF8.self)
        #expect(outcome.status == 0, "\(path): \(text)")
        return text
    }

    @Test(
        .timeLimit(.minutes(2)),
        .enabled(if: RealClientTests.python != nil, "no Python with grpcio: run scripts/make-python"))
    func `Python's grpcio finds everything as gRPC says`() async throws {
        let world = try World()
        let script = Self.repository + "/Tests/Fixtures/grpc/client.py"
        let text = try await run(try #require(Self.python), [script, world.address])
        #expect(text.contains("all checks passed"))
        // The hanging calls: one deadline, one cancellation, and the stream that was cancelled.
        try await world.eventually("handlers are cancelled") { world.probe.cancelled == 3 }
        try await world.eventually("all is forgotten") { await world.server.connections == 0 }
    }

    @Test(.timeLimit(.minutes(1)), .enabled(if: access("/usr/bin/h2load", X_OK) == 0, "no h2load: nghttp2-client"))
    func `h2load gets every answer`() async throws {
        let world = try World()
        let body = world.folder + "/body"
        try Files.replace(body, with: [0, 0, 0, 0, 2, 7, 8], mode: 0o600)
        let text = try await run(
            "/usr/bin/h2load",
            [
                "-n", "4000", "-c", "4", "-m", "32", "-d", body, "-H", "content-type: application/grpc", "-H",
                "te: trailers", "-B", "unix:" + world.address, "http://localhost" + Self.echo,
            ])
        #expect(text.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "\(text)")
        try await world.eventually("4000 calls") {
            world.reports.withLock { $0.filter { $0.code == nil }.count } == 4000
        }
    }

    @Test(.timeLimit(.minutes(1)), .enabled(if: access("/usr/bin/nghttp", X_OK) == 0, "no nghttp: nghttp2-client"))
    func `nghttp sees status and trailers`() async throws {
        let world = try World(tcp: true)
        let body = world.folder + "/body"
        try Files.replace(body, with: [0, 0, 0, 0, 0], mode: 0o600)
        let text = try await run(
            "/usr/bin/nghttp",
            [
                "-nv", "--no-dep", "-d", body, "-H", "content-type: application/grpc", "-H",
                "te: trailers", "http://" + world.address + Self.echo,
            ])
        #expect(text.contains(":status: 200") && text.contains("grpc-status: 0"), "\(text)")
    }
}
