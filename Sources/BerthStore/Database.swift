internal import BerthBase
internal import Dispatch
internal import Glibc
internal import Synchronization
package import Logging

/// The daemon's one database: WAL, one writer thread that commits what waits in one go, a few readers.
package final class Database: Sendable {
    /// The most transactions committed together.
    package static let maxBatch = 256
    /// The most transactions that wait; more are refused.
    package static let maxWaiting = 16384
    /// Reader connections.
    static let readers = 3

    private typealias Body = @Sendable (Connection) throws -> Void
    private struct Job: Sendable {
        let isDurable: Bool
        let body: Body
        let finish: @Sendable ((any Error)?) -> Void
    }
    private struct Queue {
        var jobs: [Job] = []
        var isClosed = false
    }

    private let path: String
    private let queue = Mutex(Queue())
    private let signal = DispatchSemaphore(value: 0)
    private let stopped = DispatchSemaphore(value: 0)
    private let pool = Mutex<[Connection]>([])
    private let readLane = Blocking.Lane("database-readers", width: Database.readers)
    private let logger: Logger

    /// What had to be done to open the file, if anything; a reason to be degraded.
    package let damage: String?

    /// Opens or makes the database; a corrupt file is moved aside and a new one begun.
    ///
    /// - Throws: `failedPrecondition` for a file of a newer version.
    package init(path: String, logger: Logger) throws {
        self.path = path
        self.logger = logger
        var damage: String?
        var writer: Connection
        do {
            writer = try Self.openWriter(path)
        } catch let error as BerthError where error.code == .dataLoss {
            let aside = "\(path).corrupt-\(Timestamp.now().seconds)"
            for suffix in ["", "-wal", "-shm"] { rename(path + suffix, aside + suffix) }
            damage = "the database was corrupt (\(error)); it was moved to '\(aside)' and a new one begun"
            logger.critical("corrupt database moved aside", metadata: ["moved_to": "\(aside)", "error": "\(error)"])
            writer = try Self.openWriter(path)
        }
        self.damage = damage
        let connection = writer
        let thread = Thread { [self] in writeLoop(connection) }
        try thread.start()
    }

    private static func openWriter(_ path: String) throws -> Connection {
        let connection = try Connection(path: path, writable: true)
        try connection.script(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=1000;")
        try connection.script(
            "CREATE TABLE IF NOT EXISTS migration (plugin TEXT, name TEXT, PRIMARY KEY (plugin, name)) WITHOUT ROWID")
        chmod(path, 0o600)
        return connection
    }

    /// Brings a plugin's tables up to date by its named, append-only migrations.
    ///
    /// - Throws: `failedPrecondition` when the file has migrations this version does not know.
    package func migrate(_ plugin: String, _ migrations: [(name: String, sql: String)]) async throws {
        try await write(durable: true) { connection in
            var done: Set<String> = []
            try connection.query("SELECT name FROM migration WHERE plugin = ?", [.text(plugin)]) { done.insert($0[0].text) }
            if let newer = done.subtracting(migrations.map(\.name)).min() {
                throw BerthError(
                    .failedPrecondition,
                    "the database has the migration '\(newer)' of '\(plugin)', which this berthd does not know: it is from a newer version; upgrade berthd, or give it another root")
            }
            for migration in migrations where !done.contains(migration.name) {
                try connection.script(migration.sql)
                try connection.run("INSERT INTO migration VALUES (?, ?)", [.text(plugin), .text(migration.name)])
            }
        }
    }

    /// Runs one transaction; concurrent ones are committed together, each undone alone if it throws.
    package func write<T: Sendable>(
        durable: Bool, _ body: @escaping @Sendable (Connection) throws -> T
    ) async throws -> T {
        let result = Shared<T?>(nil)
        return try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T, any Error>) in
            let job = Job(
                isDurable: durable,
                body: { connection in
                    let value = try body(connection)
                    result.withLock { $0 = value }
                },
                finish: { error in
                    if let error {
                        continuation.resume(throwing: error)
                    } else if let value = result.withLock({ $0 }) {
                        continuation.resume(returning: value)
                    }
                })
            let refusal = queue.withLock { queue -> BerthError? in
                if queue.isClosed { return BerthError(.unavailable, "the database is closed") }
                if queue.jobs.count >= Self.maxWaiting {
                    return BerthError(.resourceExhausted, "\(Self.maxWaiting) transactions already wait for the database")
                }
                queue.jobs.append(job)
                return nil
            }
            if let refusal { continuation.resume(throwing: refusal) } else { signal.signal() }
        }
    }

    /// Runs reads on one consistent snapshot.
    package func read<T: Sendable>(_ body: @escaping @Sendable (Connection) throws -> T) async throws -> T {
        try await Blocking.run(on: readLane) { [self] in
            let connection = try pool.withLock { $0.popLast() } ?? Connection(path: path, writable: false)
            try connection.script("BEGIN")
            defer {
                try? connection.script("ROLLBACK")
                pool.withLock { if $0.count < Self.readers { $0.append(connection) } }
            }
            return try body(connection)
        }
    }

    /// Commits what waits and ends the writer.
    package func close() async {
        let wasOpen = queue.withLock { queue in
            defer { queue.isClosed = true }
            return !queue.isClosed
        }
        guard wasOpen else { return }
        signal.signal()
        try? await Blocking.run { [stopped] in stopped.wait() }
        pool.withLock { $0.removeAll() }
    }

    private func writeLoop(_ connection: Connection) {
        while true {
            signal.wait()
            let (jobs, isClosed) = queue.withLock { queue in
                let batch = Array(queue.jobs.prefix(Self.maxBatch))
                queue.jobs.removeFirst(batch.count)
                return (batch, queue.isClosed && queue.jobs.isEmpty)
            }
            if !jobs.isEmpty { commit(jobs, on: connection) }
            if isClosed { break }
        }
        try? connection.script("PRAGMA wal_checkpoint(TRUNCATE)")
        stopped.signal()
    }

    private func commit(_ jobs: [Job], on connection: Connection) {
        var finished: [(Job, (any Error)?)] = []
        do {
            // FULL syncs the log at the commit; NORMAL leaves that to the next checkpoint.
            let isDurable = jobs.contains(where: \.isDurable)
            try connection.script("PRAGMA synchronous=\(isDurable ? "FULL" : "NORMAL")")
            try connection.script("BEGIN IMMEDIATE")
            for job in jobs { finished.append((job, attempt(job, on: connection))) }
            FaultPoint.hit("store.before-commit")
            try connection.script("COMMIT")
            FaultPoint.hit("store.after-commit")
            for (job, error) in finished { job.finish(error) }
        } catch {
            try? connection.script("ROLLBACK")
            for job in jobs { job.finish(error) }
        }
    }

    private func attempt(_ job: Job, on connection: Connection) -> (any Error)? {
        do {
            try connection.script("SAVEPOINT job")
            do {
                try job.body(connection)
                try connection.script("RELEASE job")
                return nil
            } catch {
                try connection.script("ROLLBACK TO job")
                try connection.script("RELEASE job")
                return error
            }
        } catch { return error }
    }
}
