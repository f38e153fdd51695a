internal import BerthBase
internal import BerthSystem
internal import SystemPackage

/// Accepts clients on the shim's socket.
final class RPCServer {
    /// The most clients at a time: a daemon and a few tools.
    static let maxConnections = 64

    private let listener: OwnedFD
    private let loop: EventLoop
    private let serve: (RPCCall) -> Void
    private var connections: [ObjectIdentifier: RPCConnection] = [:]

    init(_ listener: consuming OwnedFD, loop: EventLoop, serve: @escaping (RPCCall) -> Void) throws(BerthError) {
        self.listener = listener
        self.loop = loop
        self.serve = serve
        let number = self.listener.rawValue
        try attempting("listen") { () throws(Errno) in
            try loop.watch(number, .input) { [unowned self] _ in accept() }
        }
    }

    /// Whether nobody is connected.
    var isIdle: Bool { connections.isEmpty }

    private func accept() {
        while true {
            // An error here (no descriptors left) is of the moment: the client waits in the backlog.
            guard let socket = try? LocalSocket.accept(listener.rawValue) else { return }
            guard connections.count < RPCServer.maxConnections else { continue }
            let connection = try? RPCConnection(socket, loop: loop, serve: serve) { [unowned self] closed in
                // Kept until this event is served: its own code is still running.
                loop.after(.zero) { [self] in connections[ObjectIdentifier(closed)] = nil }
            }
            if let connection { connections[ObjectIdentifier(connection)] = connection }
        }
    }
}
