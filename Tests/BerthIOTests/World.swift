import BerthBase
import BerthIO
import BerthSystem
import Glibc
import SystemPackage
import Testing

/// A loop and a folder of a test's own.
final class World {
    let loop: EventLoop
    let folder: String

    init() throws {
        loop = try EventLoop("test-io")
        folder = "/tmp/berth-io-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try Files.makeDirectories(folder, mode: 0o700)
    }

    deinit {
        loop.stop()
        for name in (try? Files.names(in: folder)) ?? [] { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    var socket: SocketAddress { .unix("\(folder)/socket") }

    /// Two connected streams.
    func pair() async throws -> (Stream, Stream) {
        let listener = try Listener(socket, on: loop)
        defer { listener.close() }
        async let accepted = listener.accept()
        let connected = try await loop.connect(socket)
        return (connected, try await accepted)
    }
}

/// The code of a thrown error.
func code(_ body: () async throws -> Void) async -> BerthError.Code? {
    do {
        try await body()
        return nil
    } catch { return BerthError.wrapping(error).code }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
