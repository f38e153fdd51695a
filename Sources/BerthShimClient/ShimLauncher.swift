internal import BerthBase
internal import BerthSystem
internal import Glibc

/// What a shim answers when it starts.
package struct ShimBootstrap: Sendable, Hashable {
    /// `unix:///…`.
    package var address: String
    /// `ttrpc`; the only protocol Berth speaks to shims.
    package var protocolName: String
    /// The version of its Task service, 2 or 3.
    package var version: Int
    /// The runtime it was started for.
    package var runtime: String

    /// Reads what `start` printed: JSON of generation 3, or the bare address of generation 2.
    package init(parsing bytes: [UInt8], runtime: String) throws {
        self.runtime = runtime
        let text = String(decoding: bytes, as: UTF8.self)
        let trimmed = text.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
        if trimmed.hasPrefix("{") {
            let json = try JSONValue(parsing: Array(trimmed.utf8))
            address = json["address"]?.string ?? ""
            protocolName = json["protocol"]?.string ?? "ttrpc"
            version = Int(json["version"]?.integer ?? 2)
        } else {
            (address, protocolName, version) = (trimmed, "ttrpc", 2)
        }
        guard address.hasPrefix("unix://") else {
            throw BerthError(.internal, "start a shim for '\(runtime)': it printed '\(trimmed.prefix(200))', not an address")
        }
        guard protocolName == "ttrpc" else {
            throw BerthError(.unimplemented, "the shim of '\(runtime)' speaks '\(protocolName)'; Berth speaks ttrpc to shims")
        }
        guard version == 2 || version == 3 else {
            throw BerthError(.unimplemented, "the shim of '\(runtime)' has Task version \(version); Berth speaks 2 and 3")
        }
    }

    /// Reads a bundle's `bootstrap.json`.
    package init(record: [UInt8]) throws {
        let json = try JSONValue(parsing: record)
        address = json["address"]?.string ?? ""
        protocolName = json["protocol"]?.string ?? ""
        version = Int(json["version"]?.integer ?? 0)
        runtime = json["runtime"]?.string ?? ""
    }

    /// The text of `bootstrap.json`.
    package var record: [UInt8] {
        JSONValue.object([
            "address": .string(address), "protocol": .string(protocolName), "version": .number("\(version)"),
            "runtime": .string(runtime),
        ]).encoded()
    }

    /// The socket's path.
    package var socketPath: String { String(address.dropFirst("unix://".count)) }
}

/// Starts shims and cleans up after them. Source: containerd's runtime v2 documentation, "Commands".
package struct ShimLauncher: Sendable {
    /// How long `start` and `delete` may take.
    package static let deadline = Duration.seconds(20)

    /// The socket that shims report events to.
    package var eventsAddress: String
    /// The daemon's gRPC socket, as shims are told it.
    package var grpcAddress: String
    /// The program that shims of older generations publish events with.
    package var publisher: String

    /// Makes a launcher.
    package init(eventsAddress: String, grpcAddress: String, publisher: String) {
        self.eventsAddress = eventsAddress
        self.grpcAddress = grpcAddress
        self.publisher = publisher
    }

    /// Runs `start` in the bundle and records the answer there.
    package func start(_ binary: ShimBinary, in bundle: ShimBundle) async throws -> ShimBootstrap {
        FaultPoint.hit("shim.before-start")
        let outcome = try await run(binary, "start", bundle)
        guard outcome.status == 0 else {
            let words = String(decoding: (outcome.errors + outcome.output).suffix(2048), as: UTF8.self)
            throw BerthError(.internal, "start shim '\(binary.path)' for '\(bundle.id)': status \(outcome.status): \(words)")
        }
        let bootstrap = try ShimBootstrap(parsing: outcome.output, runtime: binary.runtime)
        FaultPoint.hit("shim.after-start")
        try await Blocking.run { try bundle.write("bootstrap.json", bootstrap.record) }
        return bootstrap
    }

    /// Runs `delete`, which kills and unmounts what a dead shim left.
    package func cleanUp(_ binary: ShimBinary, in bundle: ShimBundle) async throws {
        let outcome = try await run(binary, "delete", bundle)
        guard outcome.status == 0 else {
            let words = String(decoding: outcome.errors.suffix(2048), as: UTF8.self)
            throw BerthError(.internal, "clean up after shim '\(bundle.id)': status \(outcome.status): \(words)")
        }
    }

    private func run(_ binary: ShimBinary, _ verb: String, _ bundle: ShimBundle) async throws -> ChildProcess.Outcome {
        let arguments = [
            "-namespace", bundle.namespace.rawValue, "-address", grpcAddress, "-publish-binary", publisher,
            "-id", bundle.id, "-bundle", bundle.path, verb,
        ]
        var command = ChildProcess.Command(
            binary.path, arguments,
            environment: [
                "TTRPC_ADDRESS=\(eventsAddress)", "GRPC_ADDRESS=\(grpcAddress)", "MAX_SHIM_VERSION=3",
                "NAMESPACE=\(bundle.namespace)", "CONTAINERD_NAMESPACE=\(bundle.namespace)",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ] + Self.passedOn(),
            deadline: Self.deadline)
        command.folder = bundle.path
        let final = command
        return try await Blocking.run(
            on: Blocking.foreign, "shim '\(binary.path)' \(verb)", deadline: Self.deadline + .seconds(5)
        ) { try ChildProcess.run(final) }
    }

    /// Settings of tests and developers that a shim needs to see.
    private static func passedOn() -> [String] {
        ["BERTH_INIT", "BERTH_SHIM_FAULT"].compactMap { (name: String) -> String? in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
    }
}
