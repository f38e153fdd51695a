package import BerthKernel

extension [Plugin] {
    /// The database, the metadata in it, and what keeps both in step with drivers.
    package static var metadataPlugins: [Plugin] { [.sqliteDatabase, .sqliteMetadata, .metadataSnapshots] }
}
