import BerthBase
import BerthTestSupport
import Dispatch
import Testing

@testable import BerthStore

@Suite struct TransactionTests {
    /// Holds the writer while the body fills the queue, until the condition holds: what waits then is one batch.
    private func held<T: Sendable>(
        _ database: Database, until isFull: @escaping @Sendable () -> Bool, _ body: @Sendable () async throws -> T
    ) async throws -> T {
        let gate = DispatchSemaphore(value: 0)
        let entered = Shared(false)
        let holder = Task {
            try await database.write(durable: false) { _ in
                entered.withLock { $0 = true }
                gate.wait()
            }
        }
        while !entered.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(1)) }
        let opener = Task {
            while !isFull(), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(1)) }
            gate.signal()
        }
        let value: T
        do { value = try await body() } catch {
            opener.cancel()
            throw error
        }
        await opener.value
        try await holder.value
        return value
    }

    @Test func `what was written is read, after a restart too`() async throws {
        let world = try World()
        try await world.with { database in
            try await database.insert("a", durable: true)
            #expect(try await database.keys() == ["a"])
        }
        #expect(try await world.with { try await $0.keys() } == ["a"])
    }

    @Test func `a body that throws is undone alone`() async throws {
        try await World().with { database in
            try await held(database, until: { database.waiting == 3 }) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for key in ["a", "b", "c"] {
                        group.addTask {
                            do {
                                try await database.write(durable: false) { connection in
                                    try connection.run("INSERT INTO item VALUES (?, x'00')", [.text(key)])
                                    if key == "b" { throw BerthError(.aborted, "not this one") }
                                }
                                #expect(key != "b")
                            } catch let error as BerthError {
                                #expect(error.code == .aborted)
                                #expect(key == "b")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            #expect(try await database.keys() == ["a", "c"])
        }
    }

    @Test func `transactions that wait together are one commit, synced if one of them asks for it`() async throws {
        try await World().with { database in
            let before = database.statistics
            try await held(database, until: { database.waiting == 20 }) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<20 {
                        group.addTask { try await database.insert("\(number)", durable: number == 7) }
                    }
                    try await group.waitForAll()
                }
            }
            let after = database.statistics
            #expect(after.transactions - before.transactions == 21)
            #expect(after.commits - before.commits == 2)
            #expect(after.durableCommits - before.durableCommits == 1)
        }
    }

    @Test func `readers see one snapshot while others write`() async throws {
        try await World().with { database in
            try await database.insert("a")
            let begun = DispatchSemaphore(value: 0)
            let go = DispatchSemaphore(value: 0)
            async let counts = database.read { connection -> [Int64] in
                let sql = "SELECT count(*) FROM item"
                let first = try connection.first(sql)?[0].number ?? -1
                begun.signal()
                go.wait()
                return [first, try connection.first(sql)?[0].number ?? -1]
            }
            try await Blocking.run { begun.wait() }
            try await database.insert("b")
            go.signal()
            #expect(try await counts == [1, 1])
            #expect(try await database.keys().count == 2)
        }
    }

    @Test func `a reader cannot write`() async throws {
        try await World().with { database in
            let error = await #expect(throws: BerthError.self) {
                try await database.read { try $0.run("DELETE FROM item") }
            }
            #expect(error?.code == .permissionDenied)
        }
    }

    @Test func `more transactions than the limit are refused`() async throws {
        let world = try World()
        let database = try world.open(maxWaiting: 2)
        try await database.migrate("test", World.migrations)
        let refusals = Shared(0)
        let refused: [BerthError.Code] = try await held(database, until: { refusals.withLock { $0 } == 3 }) {
            await withTaskGroup(of: BerthError.Code?.self, returning: [BerthError.Code].self) { group in
                for number in 0..<5 {
                    group.addTask {
                        do { try await database.insert("\(number)") } catch {
                            refusals.withLock { $0 += 1 }
                            return (error as? BerthError)?.code
                        }
                        return nil
                    }
                }
                return await group.reduce(into: []) { if let code = $1 { $0.append(code) } }
            }
        }
        #expect(refused == [.resourceExhausted, .resourceExhausted, .resourceExhausted])
        await database.close()
    }

    @Test func `after close everything is refused and nothing is left open`() async throws {
        let world = try World()
        let database = try world.open()
        try await database.migrate("test", World.migrations)
        try await database.insert("a")
        await database.close()
        await database.close()
        for attempt in [{ try await database.insert("b") }, { _ = try await database.keys() }]
            as [@Sendable () async throws -> Void]
        {
            let error = await #expect(throws: BerthError.self) { try await attempt() }
            #expect(error?.code == .unavailable)
        }
        // The writer put everything into the file itself.
        #expect(world.folder.names() == ["berth.db"])
    }

    @Test func `text keeps its NULs and blobs may be empty`() async throws {
        try await World().with { database in
            try await database.insert("a\0b", bytes: 0)
            #expect(try await database.keys() == ["a\0b"])
        }
    }
}
