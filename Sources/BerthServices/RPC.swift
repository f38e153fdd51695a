package import BerthGRPC
public import BerthKernel

/// Contributes gRPC services to the servers.
public protocol RPCProvider: Sendable {
    /// A name for logs.
    var label: String { get }
}

/// What a provider within the project returns: its services.
package protocol GRPCProvider: RPCProvider {
    /// The services to route to.
    var services: [any GRPCService] { get }
}

extension ServiceKey where Interface == any RPCProvider {
    /// Everything that serves gRPC: `rpc.cri`, `rpc.berth`.
    public static var rpc: Self { Self("rpc") }
}

/// Listens for clients and serves what `rpc` plugins contribute.
public protocol Server: Sendable {
    /// Where it listens.
    var addresses: [String] { get }
}

extension ServiceKey where Interface == any Server {
    /// Everything that listens: `server.grpc`.
    public static var server: Self { Self("server") }
}
