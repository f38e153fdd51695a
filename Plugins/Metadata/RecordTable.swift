internal import BerthBase
internal import BerthServices
internal import BerthStore

/// The kinds of records, and the name of each in messages.
enum RecordKind: String {
    case image, container, sandbox, blob, snapshot, lease
}

/// Rows of records: a kind, a namespace, a key and the record's JSON.
struct RecordTable {
    /// The longest label, key and value together, in bytes. Source: containerd's `labels.Validate`.
    static let maxLabel = 4096

    let connection: Connection

    static let migrations: [(name: String, sql: String)] = [
        (
            "1 records",
            """
            CREATE TABLE namespace (name TEXT PRIMARY KEY, labels BLOB NOT NULL) WITHOUT ROWID;
            CREATE TABLE record (
                kind TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL, parent TEXT, data BLOB NOT NULL,
                PRIMARY KEY (kind, namespace, key)) WITHOUT ROWID;
            CREATE INDEX record_parent ON record (kind, namespace, parent) WHERE parent IS NOT NULL;
            CREATE TABLE lease_resource (
                namespace TEXT NOT NULL, lease TEXT NOT NULL, resource TEXT NOT NULL,
                PRIMARY KEY (namespace, lease, resource)) WITHOUT ROWID;
            CREATE TABLE value (tab TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tab, key))
                WITHOUT ROWID;
            CREATE TABLE sequence (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE quarantine (kind TEXT, namespace TEXT, key TEXT, data BLOB, reason TEXT, at TEXT);
            """
        )
    ]

    func get<Record: Decodable>(_ kind: RecordKind, _ key: String, _ namespace: NamespaceID) throws -> Record {
        let row = try connection.first(
            "SELECT data FROM record WHERE kind = ? AND namespace = ? AND key = ?",
            [.text(kind.rawValue), .text(namespace.rawValue), .text(key)])
        guard let row else { throw missing(kind, key, namespace) }
        do { return try Self.decode(row[0].bytes) } catch {
            throw BerthError(
                .dataLoss, "\(kind.rawValue) '\(key)' in namespace '\(namespace)': its record cannot be read",
                cause: error)
        }
    }

    /// All that can be decoded; `quarantine` at the next start takes and reports the others.
    func list<Record: Decodable>(_ kind: RecordKind, _ namespace: NamespaceID) throws -> [Record] {
        var all: [Record] = []
        try connection.query(
            "SELECT data FROM record WHERE kind = ? AND namespace = ? ORDER BY key",
            [.text(kind.rawValue), .text(namespace.rawValue)]
        ) { row in
            if let record: Record = try? Self.decode(row[0].bytes) { all.append(record) }
        }
        return all
    }

    func exists(_ kind: RecordKind, _ key: String, _ namespace: NamespaceID) throws -> Bool {
        try connection.first(
            "SELECT 1 FROM record WHERE kind = ? AND namespace = ? AND key = ?",
            [.text(kind.rawValue), .text(namespace.rawValue), .text(key)]) != nil
    }

    func create(
        _ kind: RecordKind, _ key: String, _ namespace: NamespaceID, _ record: some Encodable, parent: String? = nil
    ) throws {
        guard try !exists(kind, key, namespace) else {
            throw BerthError(.alreadyExists, "\(kind.rawValue) '\(key)' exists in namespace '\(namespace)'")
        }
        try put(kind, key, namespace, record, parent: parent)
    }

    func update(_ kind: RecordKind, _ key: String, _ namespace: NamespaceID, _ record: some Encodable) throws {
        guard try exists(kind, key, namespace) else { throw missing(kind, key, namespace) }
        try put(kind, key, namespace, record)
    }

    func put(
        _ kind: RecordKind, _ key: String, _ namespace: NamespaceID, _ record: some Encodable, parent: String? = nil
    ) throws {
        try Identifier.validate(namespace.rawValue, as: "namespace")
        let none = Connection.Value.blob(Array("{}".utf8))
        try connection.run("INSERT OR IGNORE INTO namespace VALUES (?, ?)", [.text(namespace.rawValue), none])
        try connection.run(
            """
            INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT DO UPDATE SET data = excluded.data, parent = coalesce(excluded.parent, parent)
            """,
            [
                .text(kind.rawValue), .text(namespace.rawValue), .text(key), parent.map { .text($0) } ?? .null,
                .blob(try Self.encode(record)),
            ])
    }

    func delete(_ kind: RecordKind, _ key: String, _ namespace: NamespaceID) throws {
        let count = try connection.run(
            "DELETE FROM record WHERE kind = ? AND namespace = ? AND key = ?",
            [.text(kind.rawValue), .text(namespace.rawValue), .text(key)])
        if count == 0 { throw missing(kind, key, namespace) }
    }

    /// A row whose record cannot be read.
    struct BadRow: Sendable {
        let kind, namespace, key, reason: String
    }

    /// Every row, of one kind or of all, whose record cannot be read.
    func undecodable(_ kind: RecordKind? = nil) throws -> [BadRow] {
        var bad: [BadRow] = []
        let only: Connection.Value = kind.map { .text($0.rawValue) } ?? .null
        let sql = "SELECT kind, namespace, key, data FROM record WHERE ?1 IS NULL OR kind = ?1"
        try connection.query(sql, [only]) { row in
            guard let reason = Self.problem(RecordKind(rawValue: row[0].text), row[3].bytes) else { return }
            bad.append(BadRow(kind: row[0].text, namespace: row[1].text, key: row[2].text, reason: reason))
        }
        return bad
    }

    /// Moves rows out of the way, so that one bad record is never fatal.
    func quarantine(_ rows: [BadRow]) throws {
        for row in rows {
            let key: [Connection.Value] = [.text(row.kind), .text(row.namespace), .text(row.key)]
            try connection.run(
                """
                INSERT INTO quarantine SELECT kind, namespace, key, data, ?4, datetime('now') FROM record
                WHERE kind = ?1 AND namespace = ?2 AND key = ?3
                """, key + [.text(row.reason)])
            try connection.run("DELETE FROM record WHERE kind = ? AND namespace = ? AND key = ?", key)
        }
    }

    private static func problem(_ kind: RecordKind?, _ bytes: [UInt8]) -> String? {
        do {
            switch kind {
            case nil: return "unknown kind"
            case .image: _ = try decode(bytes) as ImageRecord
            case .container: _ = try decode(bytes) as ContainerRecord
            case .sandbox: _ = try decode(bytes) as SandboxRecord
            case .blob: _ = try decode(bytes) as BlobRecord
            case .snapshot: _ = try decode(bytes) as SnapshotRecord
            case .lease: _ = try decode(bytes) as LeaseRecord
            }
            return nil
        } catch { return "\(error)" }
    }

    func missing(_ kind: RecordKind, _ key: String, _ namespace: NamespaceID) -> BerthError {
        BerthError(.notFound, "\(kind.rawValue) '\(key)' not found in namespace '\(namespace)'")
    }

    static func check(labels: [String: String]) throws {
        for (key, value) in labels where key.utf8.count + value.utf8.count > maxLabel {
            throw BerthError(
                .invalidArgument, "label '\(key.prefix(64))' is longer than \(maxLabel) bytes with its value")
        }
    }

    static func encode(_ record: some Encodable) throws -> [UInt8] { try JSONValueEncoder().encode(record).encoded() }
    static func decode<Record: Decodable>(_ bytes: [UInt8]) throws -> Record {
        try JSONValueDecoder().decode(Record.self, from: bytes)
    }
}
