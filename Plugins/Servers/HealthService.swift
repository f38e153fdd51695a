internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
package import BerthKernel
internal import BerthServices

extension Plugin {
    /// gRPC's health service over the states of plugins.
    package static let healthService = Plugin(
        "health", provides: .rpc, config: NoConfig.self, requires: .one(.kernel)
    ) { _, kernel in
        HealthService(kernel)
    }
}

/// `grpc.health.v1.Health`. The names it knows: the empty one for the daemon as a whole, every plugin's ID, and every
/// gRPC service by the plugin that offers it.
final class HealthService: GRPCProvider, GRPCService {
    private typealias Status = Grpc_Health_V1_HealthCheckResponse.ServingStatus
    private struct State {
        var owners: [String: String] = [:]
        var isStopping = false
    }
    private let kernel: any KernelView
    private let state = Shared(State())
    /// How late a watcher learns of a change.
    static let watchInterval: Duration = .seconds(1)

    init(_ kernel: any KernelView) { self.kernel = kernel }

    var label: String { "health" }
    var services: [any GRPCService] { [self] }
    var name: String { "grpc.health.v1.Health" }

    /// Says which plugin offers which gRPC service.
    func learn(_ owners: [String: String]) { state.withLock { $0.owners = owners } }

    /// From now on nothing serves; said by the server before it drains.
    func stop() { state.withLock { $0.isStopping = true } }

    var methods: [GRPCMethod] {
        [
            GRPCMethod.unary("Check") { [self] (request: Grpc_Health_V1_HealthCheckRequest, _) in
                guard let status = status(of: request.service) else {
                    throw BerthError(.notFound, "check health: unknown service '\(request.service)'")
                }
                return Self.response(status)
            },
            GRPCMethod.serverStreaming("Watch") { [self] (request: Grpc_Health_V1_HealthCheckRequest, _, send) in
                var last: Status?
                while true {
                    let now = status(of: request.service) ?? .serviceUnknown
                    if now != last { try await send(Self.response(now)) }
                    last = now
                    try await Task.sleep(for: Self.watchInterval)
                }
            },
        ]
    }

    private static func response(_ status: Status) -> Grpc_Health_V1_HealthCheckResponse {
        var response = Grpc_Health_V1_HealthCheckResponse()
        response.status = status
        return response
    }

    /// nil for a name nobody knows.
    private func status(of service: String) -> Status? {
        let state = state.withLock { $0 }
        let plugins = kernel.plugins()
        if service.isEmpty {
            let works = plugins.allSatisfy { !$0.isRequired || $0.state.isRunning }
            return works && !state.isStopping ? .serving : .notServing
        }
        let owner = state.owners[service] ?? service
        guard let plugin = plugins.first(where: { $0.id.description == owner }) else { return nil }
        return plugin.state.isRunning && !state.isStopping ? .serving : .notServing
    }
}
