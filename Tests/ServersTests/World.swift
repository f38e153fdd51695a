import BerthBase
import BerthGRPC
import BerthKernel
import BerthServices
import BerthSystem
import BerthTestSupport
import Glibc
import Logging
import Synchronization
import Testing

@testable import ServersPlugins

/// A kernel with the server and services of a test's own, in a folder of its own.
final class World {
    let folder: TemporaryFolder
    let kernel: Kernel
    let log: LogLines

    init(
        enable: [String] = ["server.grpc", "rpc.version", "rpc.health"], required: [String] = ["server.grpc"],
        settings: String = "", plugins: [Plugin] = [], folder: TemporaryFolder? = nil
    ) throws {
        let folder = try folder ?? TemporaryFolder("berth-servers")
        self.folder = folder
        let list = { (names: [String]) in names.map { "\"\($0)\"" }.joined(separator: ", ") }
        let text = """
            version = 1
            root = "\(folder.path)/root"
            state = "\(folder.path)/state"
            enable = [\(list(enable))]
            required = [\(list(required))]
            [plugin.server.grpc]
            address = "\(folder.path)/berth.sock"
            \(settings)
            """
        let log = LogLines()
        self.log = log
        let logger = Logger(label: "test") { _ in log }
        kernel = try Kernel(
            plugins: .serverPlugins + plugins, configuration: Configuration(text: text, file: "test.toml"),
            logger: logger)
    }

    var socket: String { folder.path + "/berth.sock" }

    func client() async throws -> GRPCClient { try await GRPCClient.connect(unix: socket) }
}

/// Keeps what is logged.
struct LogLines: LogHandler, Sendable {
    private let lines = Shared<[String]>([])
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).map { "\($0.key)=\($0.value)" }.sorted().joined(separator: " ")
        lines.withLock { $0.append("\(event.level) \(event.message) \(fields)") }
    }

    var all: [String] { lines.withLock { $0 } }
}

/// The error of a call.
func failure<T>(_ body: () async throws -> T) async -> BerthError? {
    do {
        _ = try await body()
        return nil
    } catch { return BerthError.wrapping(error) }
}

/// Waits until a condition holds, at most five seconds.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    for _ in 0..<500 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("never: \(what)")
}
