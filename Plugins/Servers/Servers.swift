package import BerthKernel

extension [Plugin] {
    /// The server of the daemon's socket, and the services that belong to no other family.
    package static var serverPlugins: [Plugin] { [.grpcServer, .versionService, .healthService, .berthRPC] }
}
