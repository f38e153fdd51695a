import BerthBase
import BerthIO
import BerthSystem
import Glibc
import SystemPackage
import Testing

@Suite struct StreamTests {
    @Test(.timeLimit(.minutes(1))) func `bytes arrive in order and the end is seen`() async throws {
        let world = try World()
        let (client, server) = try await world.pair()
        try await client.write(bytes("hello "))
        try await client.write(bytes("world"))
        #expect(try await server.read(exactly: 11) == bytes("hello world"))
        client.shutdownWrite()
        #expect(try await server.read(max: 10) == [])
        try await server.write(bytes("bye"))
        #expect(try await client.read(max: 10) == bytes("bye"))
        #expect(client.peer == PeerIdentity(pid: getpid(), uid: getuid(), gid: getgid()))
    }

    @Test(.timeLimit(.minutes(1))) func `messages of many writers stay whole while the reader is slow`()
        async throws
    {
        let world = try World()
        let (client, server) = try await world.pair()
        let size = 300_000
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 1...8 {
                group.addTask { try await client.write([UInt8](repeating: UInt8(writer), count: size)) }
            }
            var seen: Set<UInt8> = []
            for _ in 1...8 {
                try await Task.sleep(for: .milliseconds(2))
                let message = try await server.read(exactly: size)
                #expect(Set(message).count == 1)
                seen.insert(message[0])
            }
            #expect(seen.count == 8)
            try await group.waitForAll()
        }
    }

    @Test(.timeLimit(.minutes(1))) func `a cancelled read ends and the next one works`() async throws {
        let world = try World()
        let (client, server) = try await world.pair()
        for delay in [0, 1, 20] {
            let read = Task { try await server.read(max: 5) }
            try await Task.sleep(for: .milliseconds(delay))
            read.cancel()
            #expect(await code { _ = try await read.value } == .cancelled)
        }
        try await client.write(bytes("x"))
        #expect(try await server.read(max: 5) == bytes("x"))
    }

    @Test(.timeLimit(.minutes(1))) func `a cancelled write that has not begun leaves no byte`() async throws {
        let world = try World()
        let (client, server) = try await world.pair()
        let size = 1_000_000
        let first = Task { try await client.write([UInt8](repeating: 1, count: size)) }
        try await Task.sleep(for: .milliseconds(20))
        let second = Task { try await client.write([UInt8](repeating: 2, count: size)) }
        try await Task.sleep(for: .milliseconds(20))
        second.cancel()
        #expect(await code { try await second.value } == .cancelled)
        first.cancel()  // has begun: goes on
        #expect(Set(try await server.read(exactly: size)) == [1])
        try await first.value
        client.close()
        #expect(try await server.read(max: 1) == [])
    }

    @Test(.timeLimit(.minutes(1))) func `closing ends who waits`() async throws {
        let world = try World()
        let (client, server) = try await world.pair()
        let read = Task { try await client.read(max: 1) }
        let write = Task { try await client.write([UInt8](repeating: 1, count: 4_000_000)) }
        try await Task.sleep(for: .milliseconds(20))
        client.close()
        #expect(await code { _ = try await read.value } == .cancelled)
        #expect(await code { try await write.value } == .cancelled)
        #expect(await code { _ = try await client.read(max: 1) } == .cancelled)
        server.close()
    }

    @Test(.timeLimit(.minutes(1))) func `writing to a lost peer is unavailable`() async throws {
        let world = try World()
        let (client, server) = try await world.pair()
        server.close()
        #expect(await code { try await client.write(bytes("x")) } == .unavailable)
    }

    @Test(.timeLimit(.minutes(1))) func `one more waiting writer than the limit is refused`() async throws {
        let world = try World()
        let (client, server) = try await world.pair()
        let blocking = Task { try await client.write([UInt8](repeating: 0, count: 4_000_000)) }
        try await Task.sleep(for: .milliseconds(50))
        let waiting = (1..<Stream.maxWaitingWriters).map { _ in Task { try await client.write([1]) } }
        var refused: BerthError.Code?
        // The tasks above start when they like: the limit is reached a moment later.
        for _ in 1...200 where refused != .resourceExhausted {
            try await Task.sleep(for: .milliseconds(5))
            let probe = Task { try await client.write([2]) }
            try await Task.sleep(for: .milliseconds(5))
            probe.cancel()
            refused = await code { try await probe.value }
        }
        #expect(refused == .resourceExhausted)
        client.close()
        for task in waiting + [blocking] { _ = await task.result }
        server.close()
    }

    @Test(.timeLimit(.minutes(1))) func `a second reader is refused`() async throws {
        let world = try World()
        let (client, server) = try await world.pair()
        let first = Task { try await client.read(max: 1) }
        try await Task.sleep(for: .milliseconds(20))
        #expect(await code { _ = try await client.read(max: 1) } == .failedPrecondition)
        try await server.write([7])
        #expect(try await first.value == [7])
    }

    @Test(.timeLimit(.minutes(1))) func `FIFOs are streams`() async throws {
        let world = try World()
        let path = "\(world.folder)/fifo"
        #expect(mkfifo(path, 0o600) == 0)
        let reader = try Stream(try Files.open(path, O_RDONLY | O_NONBLOCK), on: world.loop)
        let writer = try Stream(try Files.open(path, O_WRONLY | O_NONBLOCK), on: world.loop)
        let read = Task { try await reader.read(exactly: 3) }
        try await writer.write(bytes("abc"))
        #expect(try await read.value == bytes("abc"))
        writer.close()
        #expect(try await reader.read(max: 1) == [])
    }

    @Test func `a regular file is refused`() throws {
        let world = try World()
        let path = "\(world.folder)/file"
        #expect(throws: BerthError.self) {
            _ = try Stream(try Files.open(path, O_RDWR | O_CREAT, mode: 0o600), on: world.loop)
        }
    }
}
