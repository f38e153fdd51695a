internal import BerthArchive
internal import BerthBase
internal import BerthKernel
internal import BerthServices
internal import ContentPlugins
internal import Glibc
internal import ImagesPlugins
internal import Logging
internal import MetadataPlugins
internal import SnapshottersPlugins

// Pulls images with the plugins a daemon has, in a process that a fault point may end:
//     pull-probe ROOT REFERENCE…
// Prints what came of each and what was left that no finished pull leaves; exits with 1 if a pull failed.

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.first == UnpackHelper.command { exit(UnpackHelper.main(Array(arguments.dropFirst()))) }
guard arguments.count >= 2 else { exit(2) }

func say(_ text: String) {
    let line = text + "\n"
    _ = line.withCString { write(1, $0, strlen($0)) }
}

struct Found: Sendable {
    var images: any ImageService
    var metadata: any MetadataStore
    var content: any ContentStore
    var snapshots: any SnapshotService
}

func leftovers(_ found: Found) async throws -> [String] {
    let rows = try await found.metadata.read { reader in
        try reader.namespaces().flatMap { namespace in
            try reader.leases(in: namespace.name, filters: []).map { "lease \($0.id)" }
                + reader.snapshots(of: "overlay", in: namespace.name, filters: []).filter { row in
                    row.key.rawValue.hasPrefix("extract-")
                }.map { "snapshot \($0.key)" }
        }
    }
    let driver = try await found.snapshots.driver("overlay").list().filter { $0.kind != .committed }.map {
        "active \($0.key)"
    }
    return rows + driver + (try await found.content.ingests()).map { "ingest \($0.ref)" }
}

func work() async throws -> Int32 {
    let root = arguments[0]
    let text = """
        version = 1
        root = "\(root)/root"
        state = "\(root)/state"
        enable = ["database.sqlite", "metadata.sqlite", "snapshots.metadata", "content.local", "snapshotter.overlay",
            "images.registry", "probe.taker"]
        [plugin.images.registry]
        certs_dirs = ["\(root)/certs.d"]
        docker_config = ""
        max_tries = 2
        """
    let found = Shared<Found?>(nil)
    let taker = Plugin(
        "taker", provides: ServiceKey<Bool>("probe"), config: NoConfig.self,
        requires: .one(.images), .one(.metadata), .one(.content), .one(.snapshots)
    ) { _, images, metadata, content, snapshots in
        found.withLock { $0 = Found(images: images, metadata: metadata, content: content, snapshots: snapshots) }
        return true
    }
    let plugins: [Plugin] = .contentPlugins + .snapshotterPlugins + .metadataPlugins + .imagePlugins + [taker]
    let kernel = try Kernel(
        plugins: plugins, configuration: try Configuration(text: text, file: "probe"),
        logger: Logger(label: "probe") { _ in SwiftLogNoOpLogHandler() })
    try await kernel.start()
    guard let services = found.withLock({ $0 }) else { throw BerthError(.internal, "the plugins did not start") }
    say("at start: \(try await leftovers(services))")
    var status: Int32 = 0
    for reference in arguments.dropFirst() {
        let begin = ContinuousClock.now
        do {
            let image = try await services.images.pull(PullRequest(reference, in: "probe")) { _ in }
            say("pulled \(image.id) in \(ContinuousClock.now - begin)")
        } catch {
            say("failed \(BerthError.wrapping(error).code) \(error)")
            status = 1
        }
    }
    say("at end: \(try await leftovers(services))")
    await kernel.stop()
    return status
}

do { exit(try await work()) } catch {
    say("failed to start: \(error)")
    exit(2)
}
