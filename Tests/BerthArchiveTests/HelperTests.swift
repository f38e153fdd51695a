import BerthArchive
import BerthBase
import BerthSystem
import Glibc
import Testing

/// The confined process.
@Suite struct HelperTests {
    private let command: UnpackSession.Command

    init() throws {
        // The test's own program and the probe are built into one folder.
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count)
        let own =
            CommandLine.arguments.first { $0.hasSuffix(".xctest") }
            ?? String(decoding: path[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var folder = own.split(separator: "/", omittingEmptySubsequences: false)
        while !folder.isEmpty {
            folder.removeLast()
            let probe = folder.joined(separator: "/") + "/unpack-probe"
            if access(probe, X_OK) == 0 {
                command = .init(probe, [UnpackHelper.command])
                return
            }
        }
        throw BerthError(.notFound, "no unpack-probe beside \(own)")
    }

    @Test func `a layer is unpacked as its bytes arrive`() async throws {
        let world = try World()
        let archive = tar(
            (TarEntry(.directory, "d", mode: 0o755), ""),
            (TarEntry(.file, "d/f"), String(repeating: "x", count: 300_000)))
        var request = UnpackRequest(.none, into: world.target, whiteouts: .overlay, manifest: world.manifest)
        request.hashesInput = true
        let session = try UnpackSession.start(request, command)
        for start in stride(from: 0, to: archive.count, by: 7919) {
            try await session.write(Array(archive[start..<min(start + 7919, archive.count)]))
        }
        let result = try await session.finish()
        #expect(result.diffID == result.blobDigest && result.blobSize == Int64(archive.count))
        #expect(world.text("d/f")?.utf8.count == 300_000)
        #expect(try LayerManifest.verify(world.manifest, against: world.target))
    }

    @Test func `a nursery forks helpers that are as confined, and starts anew when it is gone`() async throws {
        let world = try World()
        var forking = command
        let nursery = UnpackNursery(command)
        forking.nursery = nursery
        let archive = tar((TarEntry(.file, "f"), "x"))
        for round in 0..<3 {
            let session = try UnpackSession.start(
                UnpackRequest(.none, into: world.target, whiteouts: .overlay), forking)
            try await session.write(Array(archive.prefix(512)))
            var seen = ""
            for _ in 0..<200 where !seen.contains("Seccomp:\t2") {
                try await Task.sleep(for: .milliseconds(10))
                seen = (try? Files.text("/proc/\(session.processID)/status")) ?? ""
            }
            #expect(seen.contains("Seccomp:\t2") && seen.contains("CapEff:\t000000008820001b"))
            #expect(try link("/proc/self/ns/net") != link("/proc/\(session.processID)/ns/net"))
            try await session.write(Array(archive.dropFirst(512)))
            #expect(try await session.finish().entries == 1)
            if round == 1 { await nursery.close() }
        }
        let hostile = try UnpackSession.start(UnpackRequest(.none, into: world.target, whiteouts: .overlay), forking)
        try await hostile.write(tar((TarEntry(.file, "../x"), "x")))
        await #expect(throws: BerthError.self) { _ = try await hostile.finish() }
        let cancelled = try UnpackSession.start(UnpackRequest(.gzip, into: world.target, whiteouts: .overlay), forking)
        cancelled.cancel()
        do { _ = try await cancelled.finish() } catch let error as BerthError { #expect(error.code == .cancelled) }
        await nursery.close()
        #expect(world.isUntouched)
    }

    @Test func `an error of the layer comes back with its code`() async throws {
        let world = try World()
        let session = try UnpackSession.start(UnpackRequest(.none, into: world.target, whiteouts: .overlay), command)
        await #expect(throws: BerthError.self) {
            try await session.write(tar((TarEntry(.file, "../x"), "x")))
            for _ in 0..<100 { try await session.write([UInt8](repeating: 0, count: 100_000)) }
            _ = try await session.finish()
        }
        do { _ = try await session.finish() } catch let error as BerthError {
            #expect(error.code == .invalidArgument)
            #expect(error.message.contains("leads upwards"))
        }
        #expect(world.isUntouched)
    }

    @Test func `another digest than the image says is data loss`() async throws {
        let world = try World()
        var request = UnpackRequest(.none, into: world.target, whiteouts: .overlay)
        request.diffID = try Digest("sha256:" + String(repeating: "0", count: 64))
        try Files.replace(world.path + "/blob", with: tar((TarEntry(.file, "f"), "x")), mode: 0o600)
        do {
            _ = try await UnpackSession.unpack(blob: world.path + "/blob", request, command)
            Issue.record("it was accepted")
        } catch let error as BerthError { #expect(error.code == .dataLoss) }
    }

    @Test func `a helper that is cancelled ends at once`() async throws {
        let world = try World()
        let session = try UnpackSession.start(UnpackRequest(.gzip, into: world.target, whiteouts: .overlay), command)
        try await session.write([0x1f, 0x8b])
        let waiting = Task { try await session.finish() }
        try await Task.sleep(for: .milliseconds(50))
        let start = ContinuousClock.now
        waiting.cancel()
        await #expect(throws: (any Error).self) { try await waiting.value }
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test func `the helper sees only its directory, without network and with few rights`() async throws {
        let world = try World()
        let session = try UnpackSession.start(UnpackRequest(.none, into: world.target, whiteouts: .overlay), command)
        let archive = tar((TarEntry(.file, "f"), "x"))
        try await session.write(Array(archive.prefix(512)))
        var seen = ""
        for _ in 0..<200 where !seen.contains("Seccomp:\t2") {
            try await Task.sleep(for: .milliseconds(10))
            seen = (try? Files.text("/proc/\(session.processID)/status")) ?? ""
        }
        #expect(seen.contains("Seccomp:\t2") && seen.contains("NoNewPrivs:\t1"))
        // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SYS_ADMIN, MKNOD, SETFCAP; nothing to gain by another program.
        #expect(seen.contains("CapEff:\t000000008820001b") && seen.contains("CapBnd:\t0000000000000000"))
        let (ours, theirs) = (try link("/proc/self/ns/net"), try link("/proc/\(session.processID)/ns/net"))
        #expect(ours != theirs)
        #expect(try Files.names(in: "/proc/\(session.processID)/root").isEmpty)
        try await session.write(Array(archive.dropFirst(512)))
        _ = try await session.finish()
    }

    private func link(_ path: String) throws -> String {
        var room = [CChar](repeating: 0, count: 256)
        let count = readlink(path, &room, room.count)
        return String(decoding: room[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
