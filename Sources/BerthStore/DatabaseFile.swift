internal import BerthBase
internal import Glibc
internal import Logging

/// The file on disk: opened, checked, and replaced when it is corrupt.
struct DatabaseFile {
    /// A larger file is not read through at the start: a damaged page shows when it is used.
    static let maxCheckedBytes = 64 << 20

    let path: String
    let logger: Logger

    /// The writer's connection, and what had to be done to get it.
    func open() throws -> (Connection, damage: String?) {
        do {
            let connection = try connect(path)
            try check(connection)
            return (connection, nil)
        } catch let error as BerthError where error.code == .dataLoss {
            return try replace(after: error)
        }
    }

    private func connect(_ path: String) throws -> Connection {
        // Made by us first, so that it and its log are never readable by others.
        // SAFETY: the path outlives each of these calls, and strerror's text is copied at once.
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if descriptor >= 0 { close(descriptor) }
        let connection = try Connection(path: path, writable: true)
        try connection.script(
            """
            PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;
            PRAGMA wal_autocheckpoint=1000; PRAGMA journal_size_limit=16777216;
            """)
        try connection.script(
            """
            CREATE TABLE IF NOT EXISTS migration (plugin TEXT, name TEXT, PRIMARY KEY (plugin, name)) WITHOUT ROWID
            """)
        return connection
    }

    /// Walks every table, so that a damaged page is found now and not under a call.
    private func check(_ connection: Connection) throws {
        let pages = try connection.first("PRAGMA page_count")?[0].number ?? 0
        let size = try connection.first("PRAGMA page_size")?[0].number ?? 0
        guard pages * size <= Self.maxCheckedBytes else { return }
        for table in try Self.tables(of: connection) {
            _ = try connection.first("SELECT count(*) FROM \"\(table.name)\"")
        }
    }

    private static func tables(of connection: Connection) throws -> [(name: String, sql: String)] {
        var all: [(String, String)] = []
        try connection.query(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        ) { all.append(($0[0].text, $0[1].text)) }
        return all
    }

    // MARK: A corrupt file

    // SAFETY: strings live through the calls; strerror's text is copied at once.
    private func replace(after error: BerthError) throws -> (Connection, damage: String?) {
        let aside = "\(path).corrupt-\(Timestamp.now().seconds)"
        for suffix in ["", "-wal", "-shm"] where unsafe rename(path + suffix, aside + suffix) != 0 && errno != ENOENT {
            let words = unsafe String(cString: strerror(errno))
            throw BerthError(.dataLoss, "move the corrupt database '\(path)' aside: \(words)", cause: error)
        }
        logger.critical("corrupt database moved aside", metadata: ["moved_to": "\(aside)", "error": "\(error)"])
        let connection = try connect(path)
        var saved = 0
        do { saved = try salvage(aside, into: connection) } catch {
            if connection.isInTransaction { try connection.script("ROLLBACK") }
            logger.error("nothing could be saved of the corrupt database", metadata: ["error": "\(error)"])
        }
        return (
            connection,
            """
            the database was corrupt (\(error)); it was moved to '\(aside)' and \(saved) rows of it saved into a new one
            """
        )
    }

    /// Copies every row that can be read; how many. A damaged page ends a walk over a table, so each is walked from
    /// both ends.
    private func salvage(_ aside: String, into connection: Connection) throws -> Int {
        // Writable, because the log that was moved with it must be read in first.
        let old = try Connection(path: aside, writable: true)
        // Without the list of migrations the tables cannot be trusted to be whole: begin with none.
        try old.query("SELECT * FROM migration") { _ in }
        try connection.script("BEGIN")
        var saved = 0
        for table in try Self.tables(of: old) {
            if table.name != "migration" { try connection.script(table.sql) }
            let order = try Self.keyColumns(of: table.name, in: old)
            for direction in ["ASC", "DESC"] {
                let by = order.map { "\"\($0)\" \(direction)" }.joined(separator: ", ")
                let sql = "SELECT * FROM \"\(table.name)\"" + (by.isEmpty ? "" : " ORDER BY \(by)")
                do {
                    try old.query(sql) { row in
                        let marks = row.map { _ in "?" }.joined(separator: ", ")
                        saved += try connection.run("INSERT OR IGNORE INTO \"\(table.name)\" VALUES (\(marks))", row)
                    }
                    break
                } catch let error as BerthError where error.code == .dataLoss {
                    if by.isEmpty { break }
                }
            }
        }
        try old.query("SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL") {
            try connection.script($0[0].text)
        }
        try connection.script("COMMIT")
        return saved
    }

    private static func keyColumns(of table: String, in connection: Connection) throws -> [String] {
        var columns: [(position: Int64, name: String)] = []
        try connection.query("SELECT pk, name FROM pragma_table_info(?)", [.text(table)]) { row in
            if row[0].number > 0 { columns.append((row[0].number, row[1].text)) }
        }
        return columns.sorted { $0.position < $1.position }.map(\.name)
    }
}
