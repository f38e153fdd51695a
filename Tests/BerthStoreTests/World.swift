import BerthBase
import BerthTestSupport
import Glibc
import Logging

@testable import BerthStore

/// A folder with a database that a test opens, closes and breaks.
final class World: Sendable {
    let folder: TemporaryFolder
    var path: String { folder.path + "/berth.db" }

    init() throws { folder = try TemporaryFolder("berth-store") }

    func open(maxWaiting: Int = 100) throws -> Database {
        try Database(path: path, logger: Logger(label: "test"), maxWaiting: maxWaiting)
    }

    /// Opens, makes the table, runs the body and closes.
    func with<T: Sendable>(_ body: @Sendable (Database) async throws -> T) async throws -> T {
        let database = try open()
        do {
            try await database.migrate("test", Self.migrations)
            let value = try await body(database)
            await database.close()
            return value
        } catch {
            await database.close()
            throw error
        }
    }

    static let migrations: [(name: String, sql: String)] = [
        ("1 item", "CREATE TABLE item (key TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID")
    ]

    /// Overwrites bytes of the file.
    func damage(at offset: Int, count: Int) {
        let descriptor = Glibc.open(path, O_WRONLY)
        let bytes = [UInt8](repeating: 0xa5, count: count)
        _ = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, count, off_t(offset)) }
        close(descriptor)
    }

    var size: Int {
        var status = stat()
        stat(path, &status)
        return Int(status.st_size)
    }
}

extension Database {
    func insert(_ key: String, bytes: Int = 1, durable: Bool = false) async throws {
        try await write(durable: durable) { connection in
            _ = try connection.run(
                "INSERT INTO item VALUES (?, ?)", [.text(key), .blob(Array(repeating: 7, count: bytes))])
        }
    }

    func keys() async throws -> [String] {
        try await read { connection in
            var keys: [String] = []
            try connection.query("SELECT key FROM item ORDER BY key") { keys.append($0[0].text) }
            return keys
        }
    }
}
