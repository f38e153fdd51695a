internal import BerthBase
internal import BerthSystem
internal import Glibc

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
    ///
    /// - Parameter socket: where our own shim is to listen; others choose for themselves.
    package func start(_ binary: ShimBinary, in bundle: ShimBundle, socket: String) async throws -> ShimBootstrap {
        FaultPoint.hit("shim.before-start")
        let outcome = try await run(binary, "start", bundle, ["BERTH_SHIM_SOCKET=\(socket)"])
        guard outcome.status == 0 else {
            let words = String(decoding: (outcome.errors + outcome.output).suffix(2048), as: UTF8.self)
            throw BerthError(
                .internal, "start shim '\(binary.path)' for '\(bundle.id)': status \(outcome.status): \(words)")
        }
        let bootstrap = try ShimBootstrap(parsing: outcome.output, runtime: binary.runtime)
        FaultPoint.hit("shim.after-start")
        try await Blocking.run { try bundle.write(ShimBootstrap.file, bootstrap.record) }
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

    private func run(
        _ binary: ShimBinary, _ verb: String, _ bundle: ShimBundle, _ settings: [String] = []
    ) async throws -> ChildProcess.Outcome {
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
            ] + settings + Self.passedOn(),
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
