package import BerthKernel

extension ServiceKey where Interface == Database {
    /// The daemon's database.
    package static var database: Self { Self("database") }
}
