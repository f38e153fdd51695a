import BerthBase
import BerthTestSupport
import Glibc
import Testing

@testable import BerthStore

@Suite struct DamageTests {
    private func filled() async throws -> World {
        let world = try World()
        try await world.with { database in
            for number in 0..<400 { try await database.insert("key \(1000 + number)", bytes: 500) }
        }
        return world
    }

    @Test func `a file that is no database is moved aside and a new one begun`() async throws {
        let world = try await filled()
        world.damage(at: 0, count: world.size)
        let database = try world.open()
        #expect(database.damage?.contains("moved to") == true)
        try await database.migrate("test", World.migrations)
        #expect(try await database.keys().isEmpty)
        try await database.insert("new")
        await database.close()
        #expect(world.folder.names().contains { $0.hasPrefix("berth.db.corrupt-") })
        let again = try world.open()
        #expect(again.damage == nil)
        #expect(try await again.keys() == ["new"])
        await again.close()
    }

    @Test func `of a file with a damaged page every other row is saved`() async throws {
        let world = try await filled()
        // A leaf in the middle: each holds about seven rows.
        world.damage(at: world.size / 4096 / 2 * 4096, count: 4096)
        let database = try world.open()
        #expect(database.damage != nil)
        try await database.migrate("test", World.migrations)
        let keys = try await database.keys()
        #expect(keys.count >= 380 && keys.count < 400, "\(keys.count) rows")
        await database.close()
    }

    @Test func `a file cut short is survived`() async throws {
        let world = try await filled()
        truncate(world.path, off_t(world.size / 2))
        let database = try world.open()
        #expect(database.damage != nil)
        try await database.migrate("test", World.migrations)
        try await database.insert("new")
        await database.close()
    }

    @Test func `a sound file is opened without a word`() async throws {
        let database = try await filled().open()
        #expect(database.damage == nil)
        await database.close()
    }

    @Test func `the file and its log are its owner's alone`() async throws {
        let world = try World()
        let database = try world.open()
        try await database.migrate("test", World.migrations)
        for name in world.folder.names() {
            var status = stat()
            stat(world.folder.path + "/" + name, &status)
            #expect(status.st_mode & 0o777 == 0o600, "\(name)")
        }
        await database.close()
    }
}
