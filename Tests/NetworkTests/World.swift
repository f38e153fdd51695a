import BerthBase
import BerthServices
import BerthStore
import BerthSystem
import BerthTestSupport
import Glibc
import Logging
import Synchronization
import SystemPackage
import Testing

@testable import MetadataPlugins
@testable import NetworkPlugins

/// A folder with CNI configurations, plugins and a database, and namespaces under names of its own.
final class World: Sendable {
    let folder: TemporaryFolder
    private let opened = Shared<Database?>(nil)
    private let hostNamespace = Shared<String?>(nil)
    private static let counter = Atomic<Int>(0)

    init() throws {
        folder = try TemporaryFolder("berth-network")
        for name in ["conf", "bin", "netns", "ipam"] { try Files.makeDirectories(folder.path + "/" + name, mode: 0o755) }
    }

    deinit {
        for name in (try? Files.names(in: folder.path + "/netns")) ?? [] {
            try? NamespaceFiles.remove(folder.path + "/netns/" + name)
        }
    }

    /// A pod ID that no other test has.
    static func pod() -> PodID { PodID("cni\(getpid())x\(counter.add(1, ordering: .relaxed).newValue)") }

    func config() -> CNIConfig {
        var config = CNIConfig()
        config.confDir = folder.path + "/conf"
        config.binDirs = [folder.path + "/bin"]
        config.netnsDir = folder.path + "/netns"
        config.timeoutSeconds = 20
        return config
    }

    /// Opens the database, runs the body, closes: a second call is the daemon after a restart.
    @discardableResult
    func with<T: Sendable>(
        _ change: (inout CNIConfig) -> Void = { _ in }, _ body: (CNINetwork) async throws -> T
    ) async throws -> T {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let database = try Database(path: folder.path + "/berth.db", logger: logger)
        try await database.migrate("metadata.sqlite", RecordTable.migrations)
        var config = config()
        change(&config)
        let network = CNINetwork(config: config, metadata: SQLiteMetadata(database: database), logger: logger)
        do {
            try await network.recover()
            let value = try await body(network)
            await database.close()
            return value
        } catch {
            await database.close()
            throw error
        }
    }

    func write(_ name: String, _ text: String, mode: UInt32 = 0o644) throws {
        try Files.replace(folder.path + "/" + name, with: Array(text.utf8), mode: mode)
    }

    func read(_ name: String) -> String { (try? Files.text(folder.path + "/" + name)) ?? "" }

    func exists(_ name: String) -> Bool { access(folder.path + "/" + name, F_OK) == 0 }

    /// A plugin that notes its calls in `calls` and its input in `input.NAME.VERB`, and does what the shell file
    /// `do.NAME.VERB` says.
    func addPlugin(_ name: String, address: String = "10.9.0.2/24") throws {
        let top = folder.path
        try write(
            "bin/\(name)",
            """
            #!/bin/sh
            cat >\(top)/input.\(name).$CNI_COMMAND
            env >\(top)/env.\(name).$CNI_COMMAND
            echo "$CNI_COMMAND \(name) $CNI_CONTAINERID" >>\(top)/calls
            if [ -f \(top)/do.\(name).$CNI_COMMAND ]; then . \(top)/do.\(name).$CNI_COMMAND; fi
            [ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x"},{"name":"veth"}],
              "ips":[{"interface":0,"address":"\(address)"},{"interface":1,"address":"10.9.0.1/24"}]}'

            """, mode: 0o755)
    }

    /// What a plugin does from now on for a verb.
    func plugin(_ name: String, on verb: String, does script: String?) throws {
        let file = "do.\(name).\(verb)"
        if let script { try write(file, script + "\n") } else { try Files.remove(folder.path + "/" + file) }
    }

    /// A network of plugins that were added before.
    func addNetwork(_ file: String = "10-test.conflist", version: String = "1.0.0", plugins: [String]) throws {
        let list = plugins.map { "{\"type\":\"\($0)\"}" }.joined(separator: ",")
        try write("conf/\(file)", "{\"cniVersion\":\"\(version)\",\"name\":\"test\",\"plugins\":[\(list)]}")
    }

    var calls: [String] { read("calls").split(separator: "\n").map(String.init) }

    /// A namespace of the pod and its connection.
    @discardableResult
    func connect(_ pod: PodID, _ network: CNINetwork, _ change: (inout PodNetworkRequest) -> Void = { _ in })
        async throws -> PodNetworkResult
    {
        let path = try await network.makeNamespace(pod: pod, userns: nil)
        var request = PodNetworkRequest(pod: pod, netns: path.string)
        change(&request)
        return try await network.attach(request)
    }

    /// Debian's plugins, run in a network namespace of this world's own that stands for the node's.
    func useRealPlugins() throws {
        let node = folder.path + "/netns/node"
        try NamespaceFiles.makeNetwork(at: node, userns: nil)
        hostNamespace.withLock { $0 = node }
        for name in try Files.names(in: "/usr/lib/cni") {
            try write("bin/\(name)", "#!/bin/sh\nexec nsenter --net=\(node) /usr/lib/cni/\(name)\n", mode: 0o755)
        }
    }

    /// Runs a shell command in a network namespace of this world.
    func inside(_ netns: String, _ command: String) throws -> (status: Int32, output: String) {
        let outcome = try ChildProcess.run(
            ChildProcess.Command(
                "/usr/bin/nsenter", ["--net=" + netns, "/bin/sh", "-c", command + " 2>&1"],
                environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], deadline: .seconds(20)))
        return (outcome.status, String(decoding: outcome.output, as: UTF8.self))
    }

    var node: String { folder.path + "/netns/node" }
}

/// Waits until a condition holds.
func eventually(_ what: String, within limit: Duration = .seconds(20), _ holds: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + limit
    while try await !holds() {
        guard .now < end else {
            Issue.record("not within \(limit): \(what)")
            return
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// The error of a call that must fail.
func failure(_ body: () async throws -> Void) async -> BerthError {
    do { try await body() } catch { return BerthError.wrapping(error) }
    return BerthError(.unimplemented, "no error")
}

/// Why these tests need root.
let isRoot = geteuid() == 0
