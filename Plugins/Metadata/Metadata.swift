package import BerthKernel

extension [Plugin] {
    /// The database, the metadata in it, what keeps both in step with drivers, events, and what is in flight.
    package static var metadataPlugins: [Plugin] {
        [.sqliteDatabase, .sqliteMetadata, .metadataSnapshots, .eventBus, .operationTable, .garbageSweeper]
    }
}
