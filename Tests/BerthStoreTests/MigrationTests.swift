import BerthBase
import Testing

@testable import BerthStore

@Suite struct MigrationTests {
    @Test func `new migrations run once, in order, and each plugin has its own`() async throws {
        let world = try World()
        try await world.with { try await $0.insert("a") }
        let more =
            World.migrations + [("2 note", "ALTER TABLE item ADD COLUMN note TEXT; UPDATE item SET note = 'old'")]
        for _ in 0..<2 {
            let database = try world.open()
            try await database.migrate("test", more)
            try await database.migrate("other", [("1 item", "CREATE TABLE other_item (key TEXT)")])
            #expect(try await database.read { try $0.first("SELECT note FROM item") } == [.text("old")])
            await database.close()
        }
    }

    @Test func `a database of a newer version is refused by the name of what it has`() async throws {
        let world = try World()
        let database = try world.open()
        try await database.migrate("test", World.migrations + [("2 future", "CREATE TABLE future (key TEXT)")])
        let error = await #expect(throws: BerthError.self) { try await database.migrate("test", World.migrations) }
        #expect(error?.code == .failedPrecondition)
        #expect(error?.message.contains("'2 future' of 'test'") == true)
        await database.close()
    }

    @Test func `a migration that fails leaves nothing of itself or of those with it`() async throws {
        let world = try World()
        let database = try world.open()
        let bad = World.migrations + [("2 bad", "CREATE TABLE half (key TEXT); SELECT nonsense")]
        await #expect(throws: BerthError.self) { try await database.migrate("test", bad) }
        let tables = try await database.read { connection in
            try connection.first("SELECT count(*) FROM sqlite_schema WHERE name IN ('item', 'half')")
        }
        #expect(tables == [.integer(0)])
        try await database.migrate("test", World.migrations)
        await database.close()
    }
}
