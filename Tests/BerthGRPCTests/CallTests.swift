import BerthBase
import BerthGRPC
import BerthIO
import Glibc
import Testing

@Suite struct CallTests {
    @Test(.timeLimit(.minutes(1)), arguments: ["Echo", "EchoLater"])
    func `a unary call is answered, at once or later, at every size`(method: String) async throws {
        let world = try World()
        let client = try await world.client()
        for size in [0, 1, 5, 1000, 16_384, 70_000, 1_000_000, 16 << 20] {
            let message = [UInt8](repeating: 7, count: size)
            let answer = try await client.unary("/test.v1.Test/\(method)", message)
            #expect(answer == message)
        }
    }

    @Test(.timeLimit(.minutes(1))) func `many calls at once get each its own answer`() async throws {
        let world = try World()
        let client = try await world.client()
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<2000 {
                group.addTask {
                    let message = bytes("call \(number)")
                    return try await client.unary(
                        "/test.v1.Test/\(number % 2 == 0 ? "Echo" : "EchoLater")", message) == message
                }
            }
            for try await isRight in group { #expect(isRight) }
        }
        try await world.eventually("2000 reports") { world.reports.withLock { $0.count } == 2000 }
        #expect(world.reports.withLock { $0.allSatisfy { $0.code == nil } })
    }

    @Test(.timeLimit(.minutes(1))) func `every code and its message reach the caller`() async throws {
        let world = try World()
        let client = try await world.client()
        for code in BerthError.Code.allCases {
            let error = await failure { try await client.unary("/test.v1.Test/Fail", [UInt8(code.rawValue)]) }
            #expect(error?.code == code)
            #expect(error?.message == "fail: 100% ünlucky\nsecond line")
        }
    }

    @Test(.timeLimit(.minutes(1))) func `the handler sees metadata, deadline and peer`() async throws {
        let world = try World()
        let client = try await world.client()
        let binary: [UInt8] = [0, 255, 10, 44]
        _ = try await client.unary(
            "/test.v1.Test/Echo", [],
            metadata: [("containerd-namespace", bytes("k8s.io")), ("x-bin", binary)],
            timeout: .seconds(5))
        let call = try #require(world.probe.calls.first)
        #expect(call.path == "/test.v1.Test/Echo")
        #expect(call.text("containerd-namespace") == "k8s.io")
        #expect(call.metadata.first { $0.name == "x-bin" }?.value == binary)
        #expect(
            call.text("te") == nil && call.text("grpc-timeout") == nil && call.text("content-type") == nil)
        #expect(call.peer == PeerCredentials(pid: getpid(), uid: getuid(), gid: getgid()))
        let left = try #require(call.deadline) - .now
        #expect(left > .seconds(3) && left <= .seconds(5))
    }

    @Test(.timeLimit(.minutes(1))) func `streams go both ways`() async throws {
        let world = try World()
        let client = try await world.client()
        let call = client.streaming("/test.v1.Test/EchoAll")
        for size in [0, 3, 100_000] {
            let message = [UInt8](repeating: 1, count: size)
            try await call.send(message)
            #expect(try await call.next() == message)
        }
        call.endSending()
        #expect(try await call.next() == nil)
    }

    @Test(.timeLimit(.minutes(1))) func `answers before an error are not lost`() async throws {
        let world = try World()
        let client = try await world.client()
        var seen: [[UInt8]] = []
        let error = await failure {
            for try await message in try await client.serverStreaming("/test.v1.Test/FailLate", []) {
                seen.append(message)
            }
        }
        #expect(seen == [[1], [2]])
        #expect(error?.code == .aborted && error?.message == "enough")
    }

    @Test(.timeLimit(.minutes(1))) func `unknown services and methods are unimplemented`() async throws {
        let world = try World()
        let client = try await world.client()
        for path in [
            "/test.v1.Test/Nothing", "/test.v1.Other/Echo", "test.v1.Test/Echo", "//test.v1.Test/Echo",
            "/test.v1.Test/Echo/",
            "/test.v1.Test%2fEcho", "/test.v1.Test/", "/", "/test.v1.Test", "/test.v1.Test/echo",
            "/test.v1.Test/Echo?x",
        ] {
            let error = await failure { try await client.unary(path, [1]) }
            // nghttp2 itself resets a request whose path does not begin with a slash.
            let expected: Set<BerthError.Code> =
                path.hasPrefix("/") ? [.unimplemented] : [.unimplemented, .internal]
            #expect(error.map { expected.contains($0.code) } == true, "\(path): \(String(describing: error))")
        }
        #expect(world.probe.calls.isEmpty)
        #expect(try await client.unary("/test.v1.Test/Echo", [1]) == [1])
    }

    @Test func `two services with one method are refused`() async throws {
        let probe = ServiceProbe()
        let error = await failure {
            _ = try GRPCServer([TestService(probe: probe), TestService(probe: probe)], on: .ofProcess())
        }
        #expect(error?.code == .alreadyExists)
    }
}
