internal import BerthBase
internal import BerthDigest
internal import BerthOCI
internal import BerthServices
internal import Logging
internal import SystemPackage

/// What the engine works with.
struct EngineServices: Sendable {
    var metadata: any MetadataStore
    var snapshots: any SnapshotService
    var images: any ImageService
    var tasks: any TaskManager
    var sandboxes: [String: any SandboxController]
    /// Nil: only pods with the host's network can be run.
    var network: (any PodNetwork)?
    var operations: any OperationTable
}

/// Runs pods by a sandbox controller, a task manager, a pod network and rows of intent.
///
/// Order: a pod's making, stopping and removal take turns in the pod's lane, a container's start and removal in the
/// container's; StopContainer needs none, it only sends signals and waits. Each change of a row is committed in a lane
/// of its own (`commits`) that nobody holds while waiting for anything but the database.
final class LocalPodEngine: PodEngine {
    let services: EngineServices
    let config: PodsConfig
    let facts: HostFacts
    let rows: EngineRows
    let table = PodTable()
    let files: PodFiles
    let accounts = AccountCache()
    let pendingSpecs = PendingSpecs()
    let processes = ProcessCache()
    let lanes = KeyedLanes<String>()
    let commits = KeyedLanes<String>()
    let recovery = RecoveryGate()
    /// Pods that somebody asked about by ID: a call whose caller went away does not undo them.
    let claimed = ClaimedPods()
    let logger: Logger

    init(
        services: EngineServices, config: PodsConfig, facts: HostFacts, root: FilePath, state: FilePath, logger: Logger
    ) {
        self.services = services
        self.config = config
        self.facts = facts
        self.logger = logger
        rows = EngineRows(metadata: services.metadata, logger: logger)
        files = PodFiles(root: root, state: state)
    }

    var revision: UInt64 { table.revision }
    var runtimeHandlers: [String] {
        [config.defaultHandler] + config.handlers.keys.filter { $0 != config.defaultHandler }.sorted()
    }

    func changes() async -> AsyncStream<PodChange> { table.watch() }

    // MARK: finding

    func pod(_ id: PodID, in namespace: NamespaceID) async throws -> PodInfo {
        let row = try await findPod(id, in: namespace)
        claimed.add(row.id)
        return row.info
    }

    func pods(in namespace: NamespaceID?) async throws -> [PodInfo] {
        await recovery.all()
        return table.pods(in: namespace).filter { $0.status.phase != .starting }.map(\.info)
    }

    func container(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerInfo {
        try await findContainer(id, in: namespace).info
    }

    func containers(in namespace: NamespaceID?) async throws -> [ContainerInfo] {
        await recovery.all()
        return table.containers(in: namespace).map(\.info)
    }

    /// The pod of an ID, a unique prefix or (outside `k8s.io`) a name, once it has been recovered.
    func findPod(_ id: PodID, in namespace: NamespaceID) async throws -> PodRow {
        let found =
            try table.pod(id)
            ?? Lookup.unique(
                id.rawValue, "pod", among: table.pods(in: namespace), namesToo: namespace != Self.kubernetes,
                id: \.id.rawValue, name: \.spec.name)
        guard let row = found, row.namespace == namespace else {
            throw BerthError(.notFound, "there is no pod '\(id)'")
        }
        await recovery.pod(row.id)
        guard let now = table.pod(row.id) else { throw BerthError(.notFound, "there is no pod '\(id)'") }
        return now
    }

    /// The container of an ID, a unique prefix or (outside `k8s.io`) a name, once its pod has been recovered.
    func findContainer(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerRow {
        let found =
            try table.container(id)
            ?? Lookup.unique(
                id.rawValue, "container", among: table.containers(in: namespace),
                namesToo: namespace != Self.kubernetes,
                id: \.id.rawValue, name: \.spec.name)
        guard let row = found, row.namespace == namespace else { throw PodTable.missing(id) }
        await recovery.pod(row.origin.pod)
        guard let now = table.container(row.id) else { throw PodTable.missing(id) }
        return now
    }

    static let kubernetes: NamespaceID = "k8s.io"

    // MARK: changing rows

    /// Changes a pod's row: read, change, commit, show. Runs to its end whoever is cancelled.
    @discardableResult
    func commit(_ id: PodID, _ change: @escaping @Sendable (inout PodRow) throws -> Void) async throws -> PodRow {
        try await Task {
            try await commits.run("pod/\(id)") {
                guard var row = table.pod(id) else { throw BerthError(.notFound, "there is no pod '\(id)'") }
                let before = row
                try change(&row)
                if row == before { return row }
                try await rows.update(row)
                table.put(row)
                return row
            }
        }.value
    }

    /// Changes a container's row, as above.
    @discardableResult
    func commit(
        _ id: ContainerID, _ change: @escaping @Sendable (inout ContainerRow) throws -> Void
    ) async throws -> ContainerRow {
        try await Task {
            try await commits.run("container/\(id)") {
                guard var row = table.container(id) else { throw PodTable.missing(id) }
                let before = row
                try change(&row)
                if row == before { return row }
                try await rows.update(row)
                table.put(row)
                return row
            }
        }.value
    }

    /// Commits what nobody waits for; a failure (a full disk) is told in the log, and the next start mends the row.
    func record(_ what: Logger.Message, _ of: Logger.Metadata, _ commit: () async throws -> Void) async {
        guard let error = await problem(commit) else { return }
        logger.error(what, metadata: of.merging(["error": "\(error)"]) { old, _ in old })
    }

    func announce(_ kind: PodChange.Kind, _ row: PodRow) {
        table.announce(PodChange(kind, namespace: row.namespace, pod: row.id, container: nil, at: .now()))
    }

    func announce(_ kind: PodChange.Kind, _ row: ContainerRow, at time: Timestamp = .now()) {
        table.announce(PodChange(kind, namespace: row.namespace, pod: row.origin.pod, container: row.id, at: time))
    }

    // MARK: small things

    func controller(_ row: PodRow) throws -> any SandboxController {
        guard let controller = services.sandboxes[row.origin.sandboxer] else {
            throw BerthError(
                .failedPrecondition, "pod '\(row.id)': its sandbox controller '\(row.origin.sandboxer)' is not running")
        }
        return controller
    }

    static func newID() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<4).map { _ in
            let digits = String(generator.next() as UInt64, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    static func digest(_ value: some Encodable) throws -> String {
        try ContentHash.digest(of: OCIJSON.encode(value)).hex
    }
}

/// Finds one thing by its ID, the beginning of its ID, or its name.
enum Lookup {
    /// Shorter beginnings than this are names or mistakes.
    static let minPrefix = 2

    static func unique<Row>(
        _ text: String, _ what: String, among rows: [Row], namesToo: Bool, id: (Row) -> String, name: (Row) -> String
    ) throws -> Row? {
        if namesToo {
            let named = rows.filter { name($0) == text }
            if let last = named.last { return last }
        }
        guard text.utf8.count >= minPrefix else { return nil }
        let matches = rows.filter { id($0).hasPrefix(text) }
        guard matches.count <= 1 else {
            throw BerthError(.invalidArgument, "'\(text)' is the beginning of \(matches.count) \(what) IDs")
        }
        return matches.first
    }
}

/// IDs of pods that a client knows.
final class ClaimedPods: Sendable {
    private let ids = Shared<Set<PodID>>([])
    func add(_ id: PodID) { ids.withLock { _ = $0.insert(id) } }
    func remove(_ id: PodID) { ids.withLock { _ = $0.remove(id) } }
    func contains(_ id: PodID) -> Bool { ids.withLock { $0.contains(id) } }
}

/// Lets calls about a pod wait for that pod's recovery, and lists for all.
final class RecoveryGate: Sendable {
    private let tasks = Shared<[PodID: Task<Void, Never>]>([:])

    func begin(_ pod: PodID, _ body: @escaping @Sendable () async -> Void) {
        let task = Task { await body() }
        tasks.withLock { $0[pod] = task }
    }

    func pod(_ id: PodID) async {
        guard let task = tasks.withLock({ $0[id] }) else { return }
        await task.value
        tasks.withLock { $0[id] = nil }
    }

    func all() async { for id in tasks.withLock({ Array($0.keys) }) { await pod(id) } }

    func cancel() {
        for task in tasks.withLock({ Array($0.values) }) { task.cancel() }
    }

    /// The pods that are still being recovered.
    var waiting: Int { tasks.withLock { $0.count } }
}
