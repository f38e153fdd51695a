import BerthBase
import BerthServices
import BerthSystem
import Glibc
import SystemPackage
import Testing

@testable import ContentPlugins

/// Blobs as files: resumed, verified, written once.
@Suite struct LocalContentTests {
    private static let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  // of "hello"

    private func inStore(_ body: (LocalContent, String) async throws -> Void) async throws {
        var template = Array("/tmp/berth-content-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BerthError(.internal, "mkdtemp") }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer {
            _ = try? ChildProcess.run(.init("/bin/rm", ["-rf", folder], deadline: .seconds(30)))
        }
        try await body(try open(folder), folder)
    }

    private func open(_ folder: String) throws -> LocalContent {
        let store = LocalContent(root: FilePath(folder))
        try store.files.prepare()
        return store
    }

    private func code(_ body: () async throws -> Void) async -> BerthError.Code? {
        do { try await body() } catch { return BerthError.wrapping(error).code }
        return nil
    }

    @Test func `a blob is written in pieces, found, read and deleted`() async throws {
        try await inStore { store, folder in
            let digest = try Digest(Self.digest)
            let writer = try await store.writer(ref: "r", total: 5, expected: digest)
            try await writer.write(Array("hel".utf8))
            try Array("lo".utf8).withUnsafeBytes { try writer.writeBlocking($0) }
            #expect(try await writer.status().offset == 5)
            #expect(try await store.ingests().map(\.ref) == ["r"])
            let info = try await writer.commit(size: 5, expected: nil)
            #expect(info.digest == digest && info.size == 5)
            #expect(try await store.ingests().isEmpty)
            #expect(try await store.list().map(\.digest) == [digest])
            #expect(try await store.read(digest, offset: 1, count: 3) == Array("ell".utf8))
            #expect(try await store.read(digest, offset: 5, count: 3) == [])
            #expect(await code { _ = try await store.read(digest, offset: 6, count: 1) } == .outOfRange)
            #expect(try await store.readAll(digest) == Array("hello".utf8))
            #expect(await code { _ = try await store.readAll(digest, limit: 4) } == .resourceExhausted)
            let path = try await store.path(of: digest).string
            var status = stat()
            lstat(path, &status)
            #expect(status.st_mode & 0o777 == 0o400)
            try await store.delete(digest)
            #expect(await code { _ = try await store.info(digest) } == .notFound)
            #expect(await code { try await store.delete(digest) } == .notFound)
            #expect(try Files.names(in: folder + "/trash").isEmpty)
        }
    }

    @Test func `an ingest is resumed after a restart, its bytes hashed again`() async throws {
        try await inStore { store, folder in
            let digest = try Digest(Self.digest)
            let first = try await store.writer(ref: "r", total: 5, expected: digest)
            try await first.write(Array("hel".utf8))
            let again = try open(folder)
            let second = try await again.writer(ref: "r", total: 5, expected: digest)
            #expect(try await second.status().offset == 3)
            try await second.write(Array("lo".utf8))
            #expect(try await second.commit(size: 5, expected: digest).digest == digest)
        }
    }

    @Test func `an ingest can be cut back`() async throws {
        try await inStore { store, _ in
            let writer = try await store.writer(ref: "r", total: 0, expected: nil)
            try await writer.write(Array("helXX".utf8))
            try await writer.truncate(to: 3)
            #expect(await code { try await writer.truncate(to: 4) } == .outOfRange)
            try await writer.write(Array("lo".utf8))
            #expect(try await writer.commit(size: nil, expected: nil).digest.description == Self.digest)
        }
    }

    @Test func `other bytes or sizes than expected are refused and dropped`() async throws {
        try await inStore { store, _ in
            let digest = try Digest(Self.digest)
            let writer = try await store.writer(ref: "r", total: 5, expected: digest)
            #expect(await code { try await writer.write(Array("longer".utf8)) } == .outOfRange)
            try await writer.write(Array("hallo".utf8))
            #expect(await code { _ = try await writer.commit(size: 5, expected: digest) } == .failedPrecondition)
            #expect(try await store.ingests().isEmpty)
            #expect(try await store.list().isEmpty)
            #expect(await code { try await writer.write([1]) } == .failedPrecondition)
            let short = try await store.writer(ref: "r", total: 0, expected: nil)
            try await short.write(Array("hell".utf8))
            #expect(await code { _ = try await short.commit(size: 5, expected: nil) } == .failedPrecondition)
            #expect(try await store.ingests().isEmpty)
            #expect(try await store.list().isEmpty)
        }
    }

    @Test func `a sha512 digest is verified as such`() async throws {
        try await inStore { store, _ in
            let hex =
                "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
            let digest = try Digest("sha512:\(hex)")
            let writer = try await store.writer(ref: "r", total: 5, expected: digest)
            try await writer.write(Array("hello".utf8))
            #expect(try await writer.commit(size: 5, expected: digest).digest == digest)
            #expect(try await store.list().map(\.digest) == [digest])
        }
    }

    @Test func `a second writer of a digest waits, then finds the blob or takes over`() async throws {
        try await inStore { store, _ in
            let digest = try Digest(Self.digest)
            let first = try await store.writer(ref: "a", total: 5, expected: digest)
            let waiting = Task { try await store.writer(ref: "b", total: 5, expected: digest) }
            let impatient = Task { try await store.writer(ref: "c", total: 5, expected: digest) }
            try await Task.sleep(for: .milliseconds(50))
            impatient.cancel()
            #expect(await code { _ = try await impatient.value } == .cancelled)
            await first.close()
            let second = try await waiting.value
            let third = Task { try await store.writer(ref: "d", total: 5, expected: digest) }
            try await second.write(Array("hello".utf8))
            _ = try await second.commit(size: 5, expected: digest)
            #expect(await code { _ = try await third.value } == .alreadyExists)
        }
    }

    @Test func `a ref has one writer, and cannot be aborted under it`() async throws {
        try await inStore { store, _ in
            let writer = try await store.writer(ref: "r", total: 0, expected: nil)
            #expect(await code { _ = try await store.writer(ref: "r", total: 0, expected: nil) } == .unavailable)
            #expect(await code { try await store.abort(ref: "r") } == .unavailable)
            await writer.close()
            try await store.abort(ref: "r")
            #expect(await code { try await store.abort(ref: "r") } == .notFound)
            #expect(await code { _ = try await store.writer(ref: "", total: 0, expected: nil) } == .invalidArgument)
        }
    }

    @Test func `a reader may follow the file that grows`() async throws {
        try await inStore { store, _ in
            let writer = try await store.writer(ref: "../r\n", total: 0, expected: nil)
            try await writer.write(Array("abc".utf8))
            let path = try #require(writer.growingFile)
            #expect(try Files.text(path.string) == "abc")
            await writer.close()
        }
    }

    @Test func `what a crash left half made goes at the start`() async throws {
        try await inStore { store, folder in
            let writer = try await store.writer(ref: "r", total: 0, expected: nil)
            try await writer.write([1])
            await writer.close()
            let name = try #require(try Files.names(in: folder + "/ingest").first)
            unlink("\(folder)/ingest/\(name)/data")
            mkdir(folder + "/ingest/half", 0o700)
            try Files.replace(folder + "/trash/x", with: [1], mode: 0o600)
            let again = try open(folder)
            #expect(try await again.ingests().isEmpty)
            #expect(try Files.names(in: folder + "/ingest").isEmpty && Files.names(in: folder + "/trash").isEmpty)
        }
    }
}
