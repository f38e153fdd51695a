import BerthBase
import Testing

@Suite struct ValueTests {
    @Test func `a digest is well-formed or refused`() throws {
        let hex = String(repeating: "0a", count: 32)
        #expect(try Digest("sha256:\(hex)").hex == hex)
        for text in [
            "", "sha256", "sha256:", "md5:\(hex)", "sha256:\(hex)0", "sha256:\(hex.uppercased())", "sha256:../../x",
        ] {
            let error = #expect(throws: BerthError.self) { try Digest(text) }
            #expect(error?.code == .invalidArgument)
        }
    }

    @Test func `identifiers have a grammar`() {
        for good in ["a", "A-b_c.d", "9", String(repeating: "x", count: 76)] {
            #expect(throws: Never.self) { try Identifier.validate(good, as: "ID") }
        }
        for bad in ["", "-a", "a-", "a..b", "a/b", "ä", String(repeating: "x", count: 77)] {
            #expect(throws: BerthError.self) { try Identifier.validate(bad, as: "ID") }
        }
    }

    @Test func `base64 goes there and back`() {
        for text in ["", "f", "fo", "foo", "foob", "fooba", "foobar"] {
            #expect(Base64.decode(Base64.encode(Array(text.utf8))) == Array(text.utf8))
        }
        #expect(Base64.encode(Array("foob".utf8)) == "Zm9vYg==")
        #expect(Base64.decode("Zm9vYg") == Array("foob".utf8))
        #expect(Base64.decode("Zm9*") == nil)
    }

    @Test func `what was done is undone in reverse, and a failed undo is told`() async throws {
        struct Broken: Error {}
        let diary = Shared<[String]>([])
        await #expect(throws: Broken.self) {
            try await withUndo(onFailedUndo: { failures in
                diary.withLock { $0.append("left: \(failures.map(\.label))") }
            }) { undo in
                undo.add("first") { diary.withLock { $0.append("first") } }
                undo.add("second") { throw Broken() }
                undo.add("third") { diary.withLock { $0.append("third") } }
                throw Broken()
            }
        }
        #expect(diary.withLock { $0 } == ["third", "first", "left: [\"second\"]"])
    }

    @Test func `work of one key is in order, and a waiter that is cancelled leaves`() async throws {
        let lanes = KeyedLanes<String>()
        let diary = Shared<[Int]>([])
        let (gate, open) = AsyncStream<Void>.makeStream()
        let first = Task {
            try await lanes.run("pod") {
                for await _ in gate { break }
                diary.withLock { $0.append(1) }
            }
        }
        while await lanes.heldKeys == 0 { await Task.yield() }
        let second = Task { try await lanes.run("pod") { diary.withLock { $0.append(2) } } }
        try await lanes.run("other") { diary.withLock { $0.append(0) } }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        open.yield()
        try await first.value
        #expect(diary.withLock { $0 } == [0, 1])
        #expect(await lanes.heldKeys == 0)
    }
}
