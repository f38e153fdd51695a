internal import BerthBase
package import BerthKernel
internal import BerthServices
internal import BerthStore
internal import Logging

/// A note in the database that it lost rows: snapshots without a row are then kept, and nothing is collected by
/// itself, until an operator has collected by hand.
enum DamageNote {
    static let table = "metadata.sqlite"
    static let key = "damage"
}

extension Plugin {
    /// Names, labels and references in the daemon's database.
    package static let sqliteMetadata = Plugin(
        "sqlite", provides: .metadata, config: NoConfig.self, requires: .one(.database)
    ) { context, database in
        let store = SQLiteMetadata(database: database)
        try await database.migrate("metadata.sqlite", RecordTable.migrations)
        // Snapshots first: one whose row cannot be read must not be taken for one without a row. The others wait until
        // everything has started.
        let early = try await store.mend(.snapshot, context.logger)
        context.run("look for records that cannot be read") {
            let late = try await store.mend(nil, context.logger)
            let problems = [early, late].compactMap { $0 }
            if !problems.isEmpty { context.report(.degraded(problems.joined(separator: "; "))) }
        }
        return store
    }
}

/// The metadata store over the daemon's database.
struct SQLiteMetadata: MetadataStore {
    let database: Database
    private let board = HintBoard()

    init(database: Database) { self.database = database }

    func hints() async -> AsyncStream<GarbageHint> { board.subscribe() }

    func read<T: Sendable>(_ body: @escaping @Sendable (any MetadataReader) throws -> T) async throws -> T {
        try await database.read { try body(MetadataSession(RecordTable(connection: $0))) }
    }

    func write<T: Sendable>(
        durability: CommitDurability, _ body: @escaping @Sendable (any MetadataWriter) throws -> T
    ) async throws -> T {
        let hints = TransactionHints()
        let value = try await database.write(durable: durability == .powerCut) {
            try body(MetadataSession(RecordTable(connection: $0), hints: hints))
        }
        board.post(hints.all)
        return value
    }

    /// Puts records that cannot be read into quarantine, and notes when rows were lost; what to report.
    func mend(_ kind: RecordKind?, _ logger: Logger) async throws -> String? {
        let bad = try await database.read { try RecordTable(connection: $0).undecodable(kind) }
        guard !bad.isEmpty || (database.damage != nil && kind != nil) else { return nil }
        try await database.write(durable: true) { try RecordTable(connection: $0).quarantine(bad) }
        let names = bad.map { "\($0.kind) '\($0.key)' of namespace '\($0.namespace)'" }
        for name in names { logger.error("record put into quarantine", metadata: ["record": "\(name)"]) }
        let damage = database.damage
        try await write(durability: .powerCut) { writer in
            try writer.setValue(
                Array((damage ?? "records in quarantine").utf8), for: DamageNote.key, table: DamageNote.table)
        }
        guard !bad.isEmpty else { return "rows were lost with the damaged database" }
        let first = names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", …" : "")
        return "\(names.count) records could not be read and were put into quarantine: \(first)"
    }
}
