internal import BerthBase
internal import CSQLite
internal import Glibc

/// One connection to the database file, used by one thread at a time, with its prepared statements.
///
/// SAFETY: the pointers belong to this object and go with it; callers keep it on one thread at a time (the writer's
/// thread, or a reader taken out of the pool).
@safe package final class Connection: @unchecked Sendable {
    private let handle: OpaquePointer
    private var statements: [String: OpaquePointer] = unsafe [:]
    private let path: String
    private var isClosed = false

    /// A value bound to or read from a statement.
    package enum Value: Sendable, Hashable {
        case null
        case integer(Int64)
        case text(String)
        case blob([UInt8])
    }

    /// Opens the file, making it if `writable`.
    package init(path: String, writable: Bool) throws {
        self.path = path
        let flags = (writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX
        var opened: OpaquePointer?
        let code = unsafe sqlite3_open_v2(path, &opened, flags, nil)
        guard code == SQLITE_OK, let opened = unsafe opened else {
            unsafe sqlite3_close(opened)
            throw Self.failure(code, "open database '\(path)'", unsafe String(cString: sqlite3_errstr(code)))
        }
        unsafe handle = unsafe opened
        unsafe sqlite3_busy_timeout(handle, 5000)
        unsafe sqlite3_extended_result_codes(handle, 1)
    }

    deinit { close() }

    /// Closes the file; nothing else may be called afterwards.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        unsafe statements.values.forEach { unsafe sqlite3_finalize($0) }
        unsafe sqlite3_close(handle)
    }

    /// Runs a statement and calls `row` for each row.
    package func query(_ sql: String, _ values: [Value] = [], row: ([Value]) throws -> Void) throws {
        let statement = unsafe try prepare(sql)
        defer {
            unsafe sqlite3_reset(statement)
            unsafe sqlite3_clear_bindings(statement)
        }
        for (index, value) in values.enumerated() { unsafe bind(value, to: Int32(index + 1), of: statement) }
        while true {
            let code = unsafe sqlite3_step(statement)
            if code == SQLITE_DONE { return }
            guard code == SQLITE_ROW else { throw error(code, sql) }
            let count = unsafe sqlite3_column_count(statement)
            try row((0..<count).map { unsafe column($0, of: statement) })
        }
    }

    /// Runs a statement that returns nothing; the number of rows it changed.
    @discardableResult
    package func run(_ sql: String, _ values: [Value] = []) throws -> Int {
        try query(sql, values) { _ in }
        return unsafe Int(sqlite3_changes(handle))
    }

    /// The first row, or nil.
    package func first(_ sql: String, _ values: [Value] = []) throws -> [Value]? {
        var found: [Value]?
        try query(sql, values) { if found == nil { found = $0 } }
        return found
    }

    /// Runs statements separated by semicolons, without values.
    package func script(_ sql: String) throws {
        let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
        if code != SQLITE_OK { throw error(code, sql) }
    }

    private func prepare(_ sql: String) throws -> OpaquePointer {
        if let known = unsafe statements[sql] { return unsafe known }
        var statement: OpaquePointer?
        let persistent: UInt32 = 1
        let code = unsafe sqlite3_prepare_v3(handle, sql, -1, persistent, &statement, nil)
        guard code == SQLITE_OK, let statement = unsafe statement else { throw error(code, sql) }
        unsafe statements[sql] = unsafe statement
        return unsafe statement
    }

    private func bind(_ value: Value, to index: Int32, of statement: OpaquePointer) {
        // SAFETY: SQLITE_TRANSIENT makes SQLite copy the bytes before the call returns.
        let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        switch value {
        case .null: unsafe sqlite3_bind_null(statement, index)
        case .integer(let number): unsafe sqlite3_bind_int64(statement, index, number)
        case .text(let text): unsafe sqlite3_bind_text(statement, index, text, Int32(text.utf8.count), transient)
        case .blob(let bytes):
            unsafe bytes.withUnsafeBytes { buffer in
                if unsafe buffer.isEmpty {
                    _ = unsafe sqlite3_bind_zeroblob(statement, index, 0)
                } else {
                    _ = unsafe sqlite3_bind_blob(statement, index, buffer.baseAddress, Int32(buffer.count), transient)
                }
            }
        }
    }

    private func column(_ index: Int32, of statement: OpaquePointer) -> Value {
        switch unsafe sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: return unsafe .integer(sqlite3_column_int64(statement, index))
        case SQLITE_TEXT:
            // By its length and not up to the first NUL: a name may hold one.
            guard let text = unsafe sqlite3_column_text(statement, index) else { return .text("") }
            let count = unsafe Int(sqlite3_column_bytes(statement, index))
            return unsafe .text(String(decoding: UnsafeRawBufferPointer(start: text, count: count), as: UTF8.self))
        case SQLITE_BLOB:
            let count = unsafe Int(sqlite3_column_bytes(statement, index))
            guard let start = unsafe sqlite3_column_blob(statement, index) else { return .blob([]) }
            return unsafe .blob(Array(UnsafeRawBufferPointer(start: start, count: count)))
        default: return .null
        }
    }

    /// Whether a transaction is open. SQLite ends it by itself after some errors (a full disk, an I/O error).
    package var isInTransaction: Bool { unsafe sqlite3_get_autocommit(handle) == 0 }

    private func error(_ code: Int32, _ sql: String) -> BerthError {
        let words = unsafe String(cString: sqlite3_errmsg(handle))
        let cause = unsafe sqlite3_system_errno(handle)
        let isFull = code & 0xff == SQLITE_IOERR && cause == ENOSPC
        return Self.failure(isFull ? SQLITE_FULL : code, "database '\(path)': \(sql.prefix(80))", words)
    }

    private static func failure(_ code: Int32, _ what: String, _ words: String) -> BerthError {
        let kind: BerthError.Code
        switch code & 0xff {
        case SQLITE_FULL: kind = .resourceExhausted
        case SQLITE_CORRUPT, SQLITE_NOTADB: kind = .dataLoss
        case SQLITE_CONSTRAINT: kind = .alreadyExists
        case SQLITE_BUSY, SQLITE_LOCKED: kind = .unavailable
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH: kind = .permissionDenied
        default: kind = .internal
        }
        return BerthError(kind, "\(what): \(words)")
    }
}

extension Connection.Value {
    /// The text, else empty.
    package var text: String {
        if case .text(let text) = self { return text }
        return ""
    }
    /// The bytes, else empty.
    package var bytes: [UInt8] {
        if case .blob(let bytes) = self { return bytes }
        return []
    }
    /// The number, else 0.
    package var number: Int64 {
        if case .integer(let number) = self { return number }
        return 0
    }
}
