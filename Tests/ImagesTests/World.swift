import BerthArchive
import BerthBase
import BerthKernel
import BerthServices
import BerthSystem
import ContentPlugins
import Glibc
import ImagesPlugins
import Logging
import MetadataPlugins
import SnapshottersPlugins
import SystemPackage

/// The services a test works with.
struct Services: Sendable {
    var images: any ImageService
    var metadata: any MetadataStore
    var content: any ContentStore
    var snapshots: any SnapshotService
}

/// A daemon's worth of plugins (database, metadata, content, overlay, images) on a folder of its own.
final class World: Sendable {
    let folder: String
    /// Where the daemon's root is.
    let root: String
    private let kernel: Shared<Kernel?> = Shared(nil)
    private let found: Shared<Services?> = Shared(nil)
    private let companions: Shared<[@Sendable () -> Void]> = Shared([])
    static let namespace: NamespaceID = "tests"

    init(root: String? = nil) throws {
        var template = Array("/tmp/berth-images-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BerthError(.internal, "mkdtemp") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        self.root = root ?? folder + "/root"
        mkdir(folder + "/certs.d", 0o755)
    }

    /// Something to end with the world.
    func with(_ end: @escaping @Sendable () -> Void) { companions.withLock { $0.append(end) } }

    /// Starts the plugins.
    func start(_ config: String = "") async throws -> Services {
        let text = """
            version = 1
            root = "\(root)"
            state = "\(folder)/state"
            enable = ["database.sqlite", "metadata.sqlite", "snapshots.metadata", "content.local", "snapshotter.overlay",
                "snapshotter.native", "images.registry", "test.taker"]
            required = ["images.registry"]
            [plugin.images.registry]
            certs_dirs = ["\(folder)/certs.d"]
            docker_config = "\(folder)/docker.json"
            max_tries = 3
            \(config)
            """
        let found = self.found
        let taker = Plugin(
            "taker", provides: ServiceKey<Bool>("test"), config: NoConfig.self,
            requires: .one(.images), .one(.metadata), .one(.content), .one(.snapshots)
        ) { _, images, metadata, content, snapshots in
            found.withLock { $0 = Services(images: images, metadata: metadata, content: content, snapshots: snapshots) }
            return true
        }
        let others: [Plugin] = .contentPlugins + .snapshotterPlugins + .metadataPlugins
        let kernel = try Kernel(
            plugins: others + [.registryImages(helper: try Self.helper()), taker],
            configuration: try Configuration(text: text, file: "test"),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await kernel.start()
        self.kernel.withLock { $0 = kernel }
        guard let services = found.withLock({ $0 }) else { throw BerthError(.internal, "the plugins did not start") }
        return services
    }

    func stop() async {
        let kernel = self.kernel.withLock { kernel -> Kernel? in
            defer { kernel = nil }
            return kernel
        }
        found.withLock { $0 = nil }
        await kernel?.stop()
    }

    /// Stops everything and removes the folder.
    func end() async {
        await stop()
        for end in companions.withLock({ $0.reversed() }) { end() }
        _ = try? run("rm", "-rf", folder)
    }

    private static func helper() throws -> UnpackSession.Command {
        .init(try program("unpack-probe"), [UnpackHelper.command])
    }

    /// A program that is built beside the tests.
    static func program(_ name: String) throws -> String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count)
        let own =
            CommandLine.arguments.first { $0.hasSuffix(".xctest") }
            ?? String(decoding: path[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var folder = own.split(separator: "/", omittingEmptySubsequences: false)
        while !folder.isEmpty {
            folder.removeLast()
            let probe = folder.joined(separator: "/") + "/" + name
            if access(probe, X_OK) == 0 { return probe }
        }
        throw BerthError(.notFound, "no \(name) beside \(own)")
    }
}

/// A few worlds at a time: each has servers and a database of its own.
private let gate = Gate(6)

private actor Gate {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ width: Int) { free = width }

    func enter() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    func leave() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}

/// Runs a test in a world that is gone afterwards.
func inWorld(root: String? = nil, _ body: (World) async throws -> Void) async throws {
    await gate.enter()
    do { try await inOwnWorld(root, body) } catch {
        await gate.leave()
        throw error
    }
    await gate.leave()
}

private func inOwnWorld(_ root: String?, _ body: (World) async throws -> Void) async throws {
    let world = try World(root: root)
    do { try await body(world) } catch {
        await world.end()
        throw error
    }
    await world.end()
}

extension Services {
    func pull(
        _ reference: String, namespace: NamespaceID = World.namespace, credential: RegistryCredential? = nil,
        platform: Platform? = nil, progress: @escaping @Sendable (PullProgress) -> Void = { _ in }
    ) async throws -> ImageInfo {
        var request = PullRequest(reference, in: namespace)
        request.credential = credential
        request.platform = platform
        return try await images.pull(request, progress: progress)
    }

    /// The files of an image's top snapshot, read through its mounts' directories, without mounting.
    func text(_ path: String, of image: ImageInfo, snapshotter: String = "overlay") async throws -> String? {
        guard let chain = image.chainID else { return nil }
        let target = SnapshotTarget(snapshotter, in: World.namespace)
        let key = SnapshotKey("look-\(UInt32.random(in: .min ... .max))")
        let mounts = try await snapshots.prepare(
            key, parent: SnapshotKey(chain.description), readOnly: true, on: target)
        defer { let snapshots = self.snapshots; Task { try await snapshots.remove(key, on: target) } }
        for option in mounts.flatMap(\.options) where option.hasPrefix("lowerdir=") {
            for lower in option.dropFirst(9).split(separator: ":") {
                if let text = try? Files.text("\(lower)/\(path)") { return text }
            }
            return nil
        }
        return mounts.first.flatMap { try? Files.text("\($0.source)/\(path)") }
    }

    /// What is left that no finished pull leaves: leases, ingests, unfinished snapshots.
    func leftovers() async throws -> [String] {
        let rows = try await metadata.read { reader in
            try reader.leases(in: World.namespace, filters: []).map { "lease \($0.id)" }
                + ["overlay", "native"].flatMap { name in
                    try reader.snapshots(of: name, in: World.namespace, filters: []).filter {
                        $0.key.rawValue.hasPrefix("extract-")
                    }.map { "snapshot \($0.key)" }
                }
        }
        return rows + (try await content.ingests()).map { "ingest \($0.ref)" }
    }
}

/// The code of what `body` throws; nil if it does not.
func failure(_ body: () async throws -> Void) async -> BerthError? {
    do { try await body() } catch { return BerthError.wrapping(error) }
    return nil
}
