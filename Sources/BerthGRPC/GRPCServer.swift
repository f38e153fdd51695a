package import BerthBase
package import BerthIO
package import BerthSystem

/// How one call ended, for logs and metrics.
package struct GRPCCallReport: Sendable {
    package let path: String
    /// nil for success.
    package let code: BerthError.Code?
    package let message: String?
    package let elapsed: Duration
    /// Whether the method is one that may take as long as it likes.
    package let isStreaming: Bool
    package let peer: PeerCredentials?
}

/// Serves gRPC over HTTP/2 without TLS on sockets it is given, all on one event loop.
package final class GRPCServer: Sendable {
    private let core: ServerCore

    /// - Parameter report: called on the loop's thread at the end of every call; must not wait.
    /// - Throws: `alreadyExists` when two services offer the same method.
    package init(
        _ services: [any GRPCService], limits: GRPCLimits = GRPCLimits(), on loop: EventLoop,
        report: (@Sendable (GRPCCallReport) -> Void)? = nil
    ) throws {
        core = ServerCore(try RouteTable(services), limits, loop, report)
    }

    /// Accepts connections until the task is cancelled or the listener closed; a listener that fails for want of
    /// descriptors is tried again.
    package func serve(_ listener: Listener, failed: @Sendable (BerthError) -> Void = { _ in }) async throws {
        while true {
            do {
                let descriptor = try await listener.acceptDescriptor()
                adopt(descriptor)
            } catch {
                let error = BerthError.wrapping(error)
                if error.code == .cancelled { return }
                failed(error)
                try await Task.sleep(for: Self.acceptPause)
            }
        }
    }
    private static let acceptPause: Duration = .milliseconds(100)

    /// Serves a connected, non-blocking socket.
    package func adopt(_ descriptor: consuming OwnedFD) {
        let number = descriptor.release()
        core.loop.execute { [core] in core.begin(OwnedFD(number)) }
    }

    /// Takes no new calls, and waits for those under way; after `patience` they are cut off.
    package func drain(within patience: Duration) async {
        await withCheckedContinuation { continuation in
            core.loop.execute { [core] in core.drain(within: patience) { continuation.resume() } }
        }
    }

    /// Connections at the moment.
    package var connections: Int {
        get async {
            await withCheckedContinuation { continuation in
                core.loop.execute { [core] in continuation.resume(returning: core.connectionCount) }
            }
        }
    }
}

/// What the connections of a server share.
///
/// SAFETY: what changes is used on the loop's thread only.
final class ServerCore: @unchecked Sendable {
    let routes: RouteTable
    let limits: GRPCLimits
    let loop: EventLoop
    let scratch = ReadBuffer()
    let report: (@Sendable (GRPCCallReport) -> Void)?
    /// Bytes of requests that calls of all connections hold.
    var heldBytes = 0
    private(set) var isDraining = false
    private var connections: [ObjectIdentifier: ServerConnection] = [:]
    private var drained: [() -> Void] = []

    init(
        _ routes: RouteTable, _ limits: GRPCLimits, _ loop: EventLoop,
        _ report: (@Sendable (GRPCCallReport) -> Void)?
    ) {
        self.routes = routes
        self.limits = limits
        self.loop = loop
        self.report = report
    }

    var connectionCount: Int { connections.count }

    func begin(_ descriptor: consuming OwnedFD) {
        // Closed at once: the peer's error is clearer than a silent wait in the backlog.
        guard connections.count < limits.maxConnections, !isDraining else { return }
        guard let connection = try? ServerConnection(descriptor, self) else { return }
        connections[ObjectIdentifier(connection)] = connection
        connection.begin()
    }

    func closed(_ connection: ServerConnection) {
        connections[ObjectIdentifier(connection)] = nil
        finishDraining()
    }

    func drain(within patience: Duration, _ done: @escaping () -> Void) {
        isDraining = true
        drained.append(done)
        for connection in connections.values { connection.drain() }
        finishDraining()
        loop.schedule(at: .now + patience) { [self] in
            for connection in connections.values {
                connection.close(BerthError(.unavailable, "the server stops"))
            }
        }
    }

    private func finishDraining() {
        guard isDraining, connections.isEmpty else { return }
        let waiting = drained
        drained = []
        for done in waiting { done() }
    }
}
