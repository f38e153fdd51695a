internal import BerthBase
internal import Dispatch
internal import Glibc
package import Logging
internal import Synchronization

/// The daemon's one database: WAL, one writer thread that commits what waits in one go, a few readers.
package final class Database: Sendable {
    /// The most transactions committed together.
    package static let maxBatch = 256
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
    /// What the writer has done.
    package struct Statistics: Sendable {
        /// Transactions asked for.
        package var transactions = 0
        /// Commits that were made for them.
        package var commits = 0
        /// Commits that were synced to disk before they were answered.
        package var durableCommits = 0
    }

    private let path: String
    private let queue = Mutex(Queue())
    private let signal = DispatchSemaphore(value: 0)
    private let stopped = DispatchSemaphore(value: 0)
    private let pool = Mutex<[Connection]>([])
    private let counts = Mutex(Statistics())
    private let readLane = Blocking.Lane("database-readers", width: Database.readers)
    private let maxWaiting: Int

    /// What had to be done to open the file, if anything; a reason to be degraded.
    package let damage: String?

    /// Opens or makes the database. A corrupt file is moved aside, and what can be read of it saved into a new one.
    ///
    /// - Parameter maxWaiting: the most transactions that wait; more are refused.
    /// - Throws: `resourceExhausted` on a full disk.
    package init(path: String, logger: Logger, maxWaiting: Int = 16384) throws {
        self.path = path
        self.maxWaiting = maxWaiting
        let (writer, damage) = try DatabaseFile(path: path, logger: logger).open()
        self.damage = damage
        let thread = Thread { [self] in writeLoop(writer) }
        try thread.start()
    }

    /// Transactions that wait now.
    package var waiting: Int { queue.withLock { $0.jobs.count } }

    /// What the writer has done so far.
    package var statistics: Statistics { counts.withLock { $0 } }

    /// Brings a plugin's tables up to date by its named, append-only migrations, all of them or none.
    ///
    /// - Throws: `failedPrecondition` when the file has migrations this version does not know.
    package func migrate(_ plugin: String, _ migrations: [(name: String, sql: String)]) async throws {
        let names = migrations.map(\.name)
        let done = try await read { connection in
            var done: Set<String> = []
            try connection.query("SELECT name FROM migration WHERE plugin = ?", [.text(plugin)]) {
                done.insert($0[0].text)
            }
            return done
        }
        if let newer = done.subtracting(names).min() {
            throw BerthError(
                .failedPrecondition,
                """
                the database has the migration '\(newer)' of '\(plugin)', which this berthd does not know: it is \
                from a newer version; upgrade berthd, or give it another root
                """)
        }
        if done.count == names.count { return }
        try await write(durable: true) { connection in
            for migration in migrations where !done.contains(migration.name) {
                try connection.script(migration.sql)
                try connection.run("INSERT INTO migration VALUES (?, ?)", [.text(plugin), .text(migration.name)])
            }
        }
    }

    /// Runs one transaction; concurrent ones are committed together, each undone alone if it throws.
    ///
    /// - Parameter body: may run a second time, when a commit it shared with others failed.
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
                if queue.jobs.count >= maxWaiting {
                    return BerthError(.resourceExhausted, "\(maxWaiting) transactions already wait for the database")
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
            if queue.withLock({ $0.isClosed }) { throw BerthError(.unavailable, "the database is closed") }
            let connection = try pool.withLock { $0.popLast() } ?? Connection(path: path, writable: false)
            try connection.script("BEGIN")
            defer {
                try? connection.script("ROLLBACK")
                let isClosed = queue.withLock { $0.isClosed }
                pool.withLock { if !isClosed, $0.count < Self.readers { $0.append(connection) } }
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
        // Readers first: the connection that closes last puts the log into the file, and only the writer can.
        pool.withLock { $0.removeAll() }
        signal.signal()
        try? await Blocking.run { [stopped] in stopped.wait() }
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
        connection.close()
        stopped.signal()
    }

    private func commit(_ jobs: [Job], on connection: Connection) {
        var finished: [(Job, (any Error)?)] = []
        do {
            // FULL syncs the log at the commit; NORMAL leaves that to the next checkpoint.
            let isDurable = jobs.contains(where: \.isDurable)
            try connection.script("PRAGMA synchronous=\(isDurable ? "FULL" : "NORMAL")")
            try connection.script("BEGIN IMMEDIATE")
            for job in jobs {
                let error = attempt(job, on: connection)
                // SQLite gave the whole transaction up: the others of the batch are undone with it.
                if let error, !connection.isInTransaction { throw error }
                finished.append((job, error))
            }
            FaultPoint.hit("store.before-commit")
            try connection.script("COMMIT")
            FaultPoint.hit("store.after-commit")
            counts.withLock {
                $0.transactions += jobs.count
                $0.commits += 1
                if isDurable { $0.durableCommits += 1 }
            }
            for (job, error) in finished { job.finish(error) }
        } catch {
            if connection.isInTransaction { try? connection.script("ROLLBACK") }
            guard jobs.count > 1 else { return jobs.forEach { $0.finish(error) } }
            // One of them may be too large for a disk that has room for the rest (or for a deletion).
            for job in jobs { commit([job], on: connection) }
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
                guard connection.isInTransaction else { return error }
                try connection.script("ROLLBACK TO job")
                try connection.script("RELEASE job")
                return error
            }
        } catch { return error }
    }
}
