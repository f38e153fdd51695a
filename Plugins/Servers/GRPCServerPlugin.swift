internal import BerthBase
internal import BerthGRPC
internal import BerthIO
package import BerthKernel
internal import BerthServices
internal import BerthSystem
internal import Logging
internal import SystemPackage

extension Plugin {
    /// Serves gRPC on unix sockets. Listens from `start` on, so that clients wait in the backlog while the other
    /// plugins start; accepts once all have.
    package static let grpcServer = Plugin(
        "grpc", provides: .server, config: GRPCServerConfig.self, requires: .all(.rpc)
    ) { context, providers in
        let config = context.config
        let services = try GRPCSocketServer.services(of: providers, context.logger)
        let loop = try EventLoop.ofProcess()
        let calls = CallLog(logger: context.logger, slow: .milliseconds(config.slowCallMilliseconds))
        let server = try GRPCServer(services, limits: config.limits, on: loop) { calls.write($0) }
        let listeners = try GRPCSocketServer.listen(config, on: loop)
        for listener in listeners {
            context.run("serve \(listener.address)") {
                try await server.serve(listener) { error in
                    context.logger.error("connection not accepted", metadata: ["error": "\(error)"])
                }
            }
        }
        let health = providers.all.compactMap { $0.service as? HealthService }
        context.onStop("drain") {
            for service in health { service.stop() }
            for listener in listeners { listener.close() }
            await server.drain(within: .seconds(config.drainSeconds))
        }
        return GRPCSocketServer(addresses: listeners.map(\.address.description))
    }
}

/// The running server of gRPC sockets.
struct GRPCSocketServer: Server {
    let addresses: [String]

    /// root and the group read and write, nobody else.
    static let socketMode: UInt32 = 0o660
    /// Folders of sockets may be passed through, not listed.
    static let folderMode: UInt32 = 0o711

    static func services(of providers: Providers<any RPCProvider>, _ logger: Logger) throws -> [any GRPCService] {
        var services: [any GRPCService] = []
        var owners: [String: String] = [:]
        for (name, provider) in providers.all {
            guard let provider = provider as? any GRPCProvider else {
                logger.warning("this plugin offers no gRPC service", metadata: ["plugin": "rpc.\(name)"])
                continue
            }
            for service in provider.services { owners[service.name] = "rpc.\(name)" }
            services += provider.services
        }
        for case let health as HealthService in providers.all.map(\.service) { health.learn(owners) }
        return services
    }

    /// Listens on all addresses or on none.
    static func listen(_ config: GRPCServerConfig, on loop: EventLoop) throws -> [Listener] {
        var listeners: [Listener] = []
        do {
            for path in [config.address] + config.extraAddresses {
                let folder = FilePath(path).removingLastComponent().string
                try attempting("make the folder of socket '\(path)'", folder)
                let group = UInt32(config.gid)
                listeners.append(try Listener(.unix(path), mode: socketMode, group: group, on: loop))
            }
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
        return listeners
    }

    private static func attempting(_ what: String, _ folder: String) throws {
        do { try Files.makeDirectories(folder, mode: folderMode) } catch { throw BerthError(error, what) }
    }
}

/// Writes one line a call: at debug, and at info what was slow or failed for a reason on our side.
struct CallLog: Sendable {
    let logger: Logger
    let slow: Duration

    func write(_ report: GRPCCallReport) {
        let isSlow = !report.isStreaming && report.elapsed > slow
        let level: Logger.Level = isSlow || Self.isOurs(report.code) ? .info : .debug
        guard logger.logLevel <= level else { return }
        let (seconds, attoseconds) = report.elapsed.components
        let micros = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        var metadata: Logger.Metadata = [
            "rpc": "\(report.path)", "code": "\(report.code.map { "\($0)" } ?? "ok")",
            "elapsed_ms": "\(Double(micros) / 1000)",
        ]
        if let message = report.message { metadata["error"] = "\(message)" }
        if let peer = report.peer { metadata["peer_pid"] = "\(peer.pid)" }
        logger.log(level: level, "call", metadata: metadata)
    }

    /// Codes that say that something is wrong here, not with the request.
    private static func isOurs(_ code: BerthError.Code?) -> Bool {
        switch code {
        case .internal, .unknown, .unavailable, .dataLoss, .resourceExhausted, .deadlineExceeded: true
        default: false
        }
    }
}
