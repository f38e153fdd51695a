import BerthBase
import BerthKernel
import BerthServices
import BerthStore
import BerthTestSupport
import Logging
import Testing

@testable import MetadataPlugins

/// A database of a test's own with the metadata in it, and a driver that survives when both are opened again.
final class World: Sendable {
    let folder: TemporaryFolder
    let driver = FakeSnapshotter()
    let logger = Logger(label: "test")
    private let opened = Shared<Database?>(nil)

    init() throws { folder = try TemporaryFolder("berth-metadata") }

    func open() async throws -> SQLiteMetadata {
        let database = try Database(path: folder.path + "/berth.db", logger: logger)
        opened.withLock { $0 = database }
        try await database.migrate("metadata.sqlite", RecordTable.migrations)
        return SQLiteMetadata(database: database)
    }

    func close() async {
        let database = opened.withLock { opened in
            defer { opened = nil }
            return opened
        }
        await database?.close()
    }

    /// Opens, runs the body, closes.
    func with<T: Sendable>(_ body: @Sendable (SQLiteMetadata) async throws -> T) async throws -> T {
        let store = try await open()
        do {
            let value = try await body(store)
            await close()
            return value
        } catch {
            await close()
            throw error
        }
    }

    /// Snapshots over the fake driver, as the plugin starts them.
    func snapshots(_ store: SQLiteMetadata) async throws -> MetadataSnapshots {
        let service = MetadataSnapshots(metadata: store, drivers: Providers([("fake", driver as any Snapshotter)]))
        try await SnapshotReconciliation(service: service, logger: logger).run()
        return service
    }
}

extension Digest {
    /// A digest that is all one digit.
    static func test(_ digit: Character) throws -> Digest {
        try Digest("sha256:" + String(repeating: digit, count: 64))
    }
}

/// The code of the error that `body` throws.
func code(_ body: () async throws -> Void) async -> BerthError.Code? {
    do { try await body() } catch { return (error as? BerthError)?.code ?? .unknown }
    return nil
}

/// Expects an error with this code.
func expect(
    _ wanted: BerthError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async {
    let found = await code(body)
    #expect(found == wanted, sourceLocation: sourceLocation)
}
