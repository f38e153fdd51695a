package import BerthBase
internal import BerthIO
internal import BerthShimAPI
internal import BerthSystem
internal import BerthTTRPC
internal import Glibc
internal import SystemPackage

/// Names a shim, and its bundle: a sandbox or container of a namespace.
package struct ShimKey: Sendable, Hashable, CustomStringConvertible {
    package var namespace: NamespaceID
    package var id: String

    package init(_ namespace: NamespaceID, _ id: String) {
        self.namespace = namespace
        self.id = id
    }

    package var description: String { "\(namespace)/\(id)" }
}

/// A shim that answers: one connection, and what is known of its process.
package final class Shim: Sendable {
    /// How long a question may take: state, pids, statistics.
    package static let questionPatience = Duration.seconds(10)
    /// How long a change may take: create, start, kill, delete.
    package static let changePatience = Duration.seconds(60)
    /// How long a shim may take until it says what it can.
    package static let greetingPatience = Duration.seconds(5)

    package let key: ShimKey
    package let bundle: ShimBundle
    package let bootstrap: ShimBootstrap
    let client: TTRPCClient
    /// A descriptor of its process, -1 when that is not known.
    private let process: OwnedFD

    init(_ bundle: ShimBundle, _ bootstrap: ShimBootstrap, _ client: TTRPCClient) {
        key = ShimKey(bundle.namespace, bundle.id)
        self.bundle = bundle
        self.bootstrap = bootstrap
        self.client = client
        process = Self.descriptor(of: bootstrap)
    }

    private static func descriptor(of bootstrap: ShimBootstrap) -> OwnedFD {
        guard bootstrap.pid > 0, let process = try? PidFD.open(bootstrap.pid),
            ShimBootstrap.ticks(of: bootstrap.pid) == bootstrap.startTicks
        else { return OwnedFD(-1) }
        return process
    }

    /// Connects to a shim that has just been started and asks what it can.
    static func greet(_ bundle: ShimBundle, _ started: ShimBootstrap, on loop: EventLoop) async throws -> Shim {
        let name = "shim '\(bundle.id)'"
        let client = try await TTRPCClient.connect(to: started.socketPath, named: name, on: loop)
        var bootstrap = started
        do {
            let answer: ShimCapabilitiesResponse = try await client.call(
                BerthShimService.name, "Capabilities", ShimCapabilitiesRequest(), timeout: greetingPatience)
            bootstrap.capabilities = Set(answer.capabilities)
            bootstrap.pid = Int32(clamping: answer.pid)
        } catch let error as BerthError where error.code == .unimplemented {
            var request = ConnectRequest()
            request.id = bundle.id
            let answer: ConnectResponse = try await client.call(
                TaskService.name(version: started.version), "Connect", request, timeout: greetingPatience)
            bootstrap.pid = Int32(clamping: answer.shimPid)
        }
        bootstrap.startTicks = ShimBootstrap.ticks(of: bootstrap.pid) ?? 0
        return Shim(bundle, bootstrap, client)
    }

    /// Connects to a shim of the daemon's earlier life. It is asked nothing: one that hangs is adopted too.
    static func adopt(_ bundle: ShimBundle, _ bootstrap: ShimBootstrap, on loop: EventLoop) async throws -> Shim {
        let client = try await TTRPCClient.connect(to: bootstrap.socketPath, named: "shim '\(bundle.id)'", on: loop)
        return Shim(bundle, bootstrap, client)
    }

    /// Whether it announced this.
    package func can(_ capability: String) -> Bool { bootstrap.capabilities.contains(capability) }

    /// Whether its connection is open.
    package var isConnected: Bool { client.isOpen }

    /// Waits for the end of the connection.
    func ended() async -> BerthError { await client.ended() }

    /// Whether its process has ended, or is not known and so cannot be told to live.
    var isDead: Bool {
        guard process.rawValue >= 0 else { return true }
        return (try? PidFD.ended(process.rawValue, within: 0)) ?? true
    }

    /// Kills its process, if it is known. One that has ended is success.
    func kill() {
        guard process.rawValue >= 0 else { return }
        try? PidFD.signal(process.rawValue, SIGKILL)
    }

    func close() { client.close() }

    /// Calls the Task service in the version this shim has.
    func task<Request: WireMessage, Response: WireMessage>(
        _ method: String, _ request: Request, within patience: Duration?
    ) async throws -> Response {
        try await client.call(TaskService.name(version: bootstrap.version), method, request, timeout: patience)
    }

    /// The same, for an answer that says nothing.
    func task(_ method: String, _ request: some WireMessage, within patience: Duration?) async throws {
        let _: WireEmpty = try await task(method, request, within: patience)
    }
}
