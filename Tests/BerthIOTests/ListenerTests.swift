import BerthBase
import BerthIO
import BerthSystem
import Glibc
import SystemPackage
import Testing

@Suite struct ListenerTests {
    @Test(.timeLimit(.minutes(1))) func `a live socket is not replaced, a stale one is`() async throws {
        let world = try World()
        let path = "\(world.folder)/socket"
        let first = try Listener(.unix(path), mode: 0o660, group: getgid(), on: world.loop)
        #expect(try Files.status(path).mode & 0o777 == 0o660)
        #expect(await code { _ = try Listener(.unix(path), on: world.loop) } == .alreadyExists)
        rename(path, path + ".aside")  // `close` removes only the file it made: the other one gets stale
        first.close()
        rename(path + ".aside", path)
        let second = try Listener(.unix(path), on: world.loop)
        async let accepted = second.accept()
        _ = try await world.loop.connect(.unix(path))
        _ = try await accepted
        second.close()
        #expect(throws: Errno.noSuchFileOrDirectory) { _ = try Files.status(path) }
    }

    @Test func `a file that is no socket is left alone`() async throws {
        let world = try World()
        let path = "\(world.folder)/socket"
        try Files.replace(path, with: bytes("precious"), mode: 0o600)
        #expect(await code { _ = try Listener(.unix(path), on: world.loop) } == .alreadyExists)
        #expect(try Files.text(path) == "precious")
    }

    @Test(.timeLimit(.minutes(1))) func `paths longer than a socket address work`() async throws {
        let world = try World()
        let deep = world.folder + "/" + String(repeating: "d", count: 120)
        try Files.makeDirectories(deep, mode: 0o700)
        let listener = try Listener(.unix(deep + "/s"), on: world.loop)
        async let accepted = listener.accept()
        _ = try await world.loop.connect(.unix(deep + "/s"))
        _ = try await accepted
        listener.close()
        rmdir(deep)
    }

    @Test(.timeLimit(.minutes(1))) func `TCP works on loopback`() async throws {
        let world = try World()
        let listener = try Listener(.loopback(port: 0), on: world.loop)
        async let accepted = listener.accept()
        let client = try await world.loop.connect(listener.address)
        let server = try await accepted
        try await server.write(bytes("x"))
        #expect(try await client.read(max: 9) == bytes("x"))
        #expect(client.peer == nil)
    }

    @Test(.timeLimit(.minutes(1))) func `connecting says why it failed`() async throws {
        let world = try World()
        #expect(await code { _ = try await world.loop.connect(world.socket) } == .notFound)
        let listener = try Listener(.loopback(port: 0), on: world.loop)
        listener.close()
        #expect(await code { _ = try await world.loop.connect(listener.address) } == .unavailable)
    }

    @Test(.timeLimit(.minutes(1))) func `a full backlog is waited for up to the patience`() async throws {
        let world = try World()
        let listener = try Listener(world.socket, on: world.loop)
        var waiting: [Stream] = []
        var seen: BerthError.Code?
        for _ in 0...Int(Listener.backlog) + 2 where seen == nil {
            seen = await code {
                waiting.append(try await world.loop.connect(world.socket, patience: .milliseconds(50)))
            }
        }
        #expect(seen == .deadlineExceeded)
        listener.close()
    }

    @Test(.timeLimit(.minutes(1))) func `closing ends an accept`() async throws {
        let world = try World()
        let listener = try Listener(world.socket, on: world.loop)
        let accept = Task { try await listener.accept() }
        try await Task.sleep(for: .milliseconds(20))
        listener.close()
        #expect(await code { _ = try await accept.value } == .cancelled)
    }
}
