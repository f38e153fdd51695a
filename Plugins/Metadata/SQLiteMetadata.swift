internal import BerthBase
package import BerthKernel
internal import BerthServices
internal import BerthStore

extension Plugin {
    /// Names, labels and references in the daemon's database.
    package static let sqliteMetadata = Plugin(
        "sqlite", provides: .metadata, config: NoConfig.self, requires: .one(.database)
    ) { context, database in
        let store = SQLiteMetadata(database: database)
        try await database.migrate("metadata.sqlite", RecordTable.migrations)
        let bad = try await database.write(durable: false) { try RecordTable(connection: $0).quarantine() }
        if bad > 0 {
            context.run("report quarantine") {
                context.report(.degraded("\(bad) records could not be read and were put into quarantine"))
            }
        }
        return store
    }
}

/// The metadata store over the daemon's database.
struct SQLiteMetadata: MetadataStore {
    let database: Database

    func read<T: Sendable>(_ body: @escaping @Sendable (any MetadataReader) throws -> T) async throws -> T {
        try await database.read { try body(MetadataSession(RecordTable(connection: $0))) }
    }

    func write<T: Sendable>(
        durability: CommitDurability, _ body: @escaping @Sendable (any MetadataWriter) throws -> T
    ) async throws -> T {
        try await database.write(durable: durability == .powerCut) { try body(MetadataSession(RecordTable(connection: $0))) }
    }
}
