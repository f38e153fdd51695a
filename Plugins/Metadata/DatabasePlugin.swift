internal import BerthBase
package import BerthKernel
internal import BerthStore
internal import SystemPackage

extension Plugin {
    /// The daemon's one SQLite database.
    package static let sqliteDatabase = Plugin("sqlite", provides: .database, config: NoConfig.self) { context in
        let path = context.root.appending("berth.db").string
        let logger = context.logger
        let database = try await Blocking.run { try Database(path: path, logger: logger) }
        context.onStop("close the database") { await database.close() }
        if let damage = database.damage {
            context.run("report damage") { context.report(.degraded(damage)) }
        }
        return database
    }
}
