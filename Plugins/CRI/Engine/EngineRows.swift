internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import Logging

/// A lease whose create did not come to its end.
struct UnfinishedCreate: Sendable {
    var namespace: NamespaceID
    var lease: LeaseID
    var container: ContainerID
    /// Those in which it may have a snapshot.
    var snapshotters: [String]
}

/// Reads and writes the engine's rows: origins lie with containerd's records, statuses in a table of their own.
struct EngineRows: Sendable {
    let metadata: any MetadataStore
    let logger: Logger

    static let table = "pods"
    private static let podExtension = "berth.io/pod"
    private static let containerExtension = "berth.io/container"
    private static let specType = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
    /// The longest label, name and value together, that the metadata model takes.
    static let maxLabel = 4096

    private static func key(_ row: PodRow) -> String { "pod/\(row.namespace)/\(row.id)" }
    private static func key(_ row: ContainerRow) -> String { "container/\(row.namespace)/\(row.id)" }

    private static func json(_ value: some Encodable) throws -> [UInt8] { try OCIJSON.encode(value) }

    private static func any(_ value: some Encodable, _ type: String) throws -> AnyMessage {
        AnyMessage(typeURL: type, value: try json(value))
    }

    // MARK: pods

    func create(_ row: PodRow, spec: [UInt8]) async throws {
        var record = SandboxRecord(id: row.id, runtime: row.origin.runtime)
        record.sandboxer = row.origin.sandboxer
        record.labels = row.spec.labels.filter { $0.key.utf8.count + $0.value.utf8.count <= Self.maxLabel }
        record.spec = AnyMessage(typeURL: Self.specType, value: spec)
        record.extensions[Self.podExtension] = try Self.any(row.origin, Self.podExtension)
        record.createdAt = row.origin.createdAt
        let (made, status) = (record, try Self.json(row.status))
        try await metadata.write { writer in
            try writer.createSandbox(made, in: row.namespace)
            try writer.setValue(status, for: Self.key(row), table: Self.table)
        }
    }

    func update(_ row: PodRow) async throws {
        let status = try Self.json(row.status)
        try await metadata.write { try $0.setValue(status, for: Self.key(row), table: Self.table) }
    }

    func delete(_ row: PodRow) async throws {
        try await metadata.write { writer in
            try Self.orMissing { try writer.deleteSandbox(row.id, in: row.namespace) }
            try writer.setValue(nil, for: Self.key(row), table: Self.table)
        }
    }

    // MARK: containers

    /// Makes the container's record and ends the lease that held its snapshot.
    func create(_ row: ContainerRow, spec: [UInt8], labels: [String: String], lease: LeaseID) async throws {
        var record = ContainerRecord(id: row.id, runtime: row.origin.runtime)
        record.labels = labels
        record.image = row.spec.userImage.isEmpty ? row.spec.image : row.spec.userImage
        record.spec = AnyMessage(typeURL: Self.specType, value: spec)
        record.snapshotter = row.origin.snapshotter
        record.snapshotKey = row.origin.snapshotKey
        record.sandboxID = row.origin.pod
        record.extensions[Self.containerExtension] = try Self.any(row.origin, Self.containerExtension)
        record.createdAt = row.origin.createdAt
        let (made, status) = (record, try Self.json(row.status))
        try await metadata.write { writer in
            try writer.createContainer(made, in: row.namespace)
            try writer.setValue(status, for: Self.key(row), table: Self.table)
            try Self.orMissing { try writer.deleteLease(lease, in: row.namespace) }
        }
    }

    func update(_ row: ContainerRow) async throws {
        let status = try Self.json(row.status)
        try await metadata.write { try $0.setValue(status, for: Self.key(row), table: Self.table) }
    }

    func delete(_ row: ContainerRow) async throws {
        try await metadata.write { writer in
            try Self.orMissing { try writer.deleteContainer(row.id, in: row.namespace) }
            try writer.setValue(nil, for: Self.key(row), table: Self.table)
        }
    }

    /// The container's OCI spec, JSON.
    func spec(of row: ContainerRow) async throws -> [UInt8] {
        let record = try await metadata.read { try $0.container(row.id, in: row.namespace) }
        guard let spec = record.spec else {
            throw BerthError(.dataLoss, "container '\(row.id)': its record has no spec")
        }
        return spec.value
    }

    func setSpec(_ spec: [UInt8], of row: ContainerRow) async throws {
        try await metadata.write { writer in
            var record = try writer.container(row.id, in: row.namespace)
            record.spec = AnyMessage(typeURL: Self.specType, value: spec)
            try writer.updateContainer(record, in: row.namespace)
        }
    }

    /// A missing one is what a delete wants.
    static func orMissing(_ body: () throws -> Void) throws {
        do { try body() } catch let error as BerthError where error.code == .notFound {}
    }

    // MARK: creates that a crash cut short

    /// The label of a create's lease; its value is the container's ID.
    static let leaseLabel = "berth.io/container"

    /// What creates hold that will never be finished: asked before the first create of this daemon.
    func unfinishedCreates() async throws -> [UnfinishedCreate] {
        try await metadata.read { reader in
            var all: [UnfinishedCreate] = []
            for (namespace, _) in try reader.namespaces() {
                for lease in try reader.leases(in: namespace, filters: []) {
                    guard let id = lease.labels[Self.leaseLabel] else { continue }
                    var snapshotters: [String] = []
                    for case .snapshot(let snapshotter, let key) in try reader.resources(of: lease.id, in: namespace)
                    where key.rawValue == id { snapshotters.append(snapshotter) }
                    all.append(
                        UnfinishedCreate(
                            namespace: namespace, lease: lease.id, container: ContainerID(id),
                            snapshotters: snapshotters))
                }
            }
            return all
        }
    }

    func deleteLease(_ id: LeaseID, in namespace: NamespaceID) async throws {
        try await metadata.write { writer in try Self.orMissing { try writer.deleteLease(id, in: namespace) } }
    }

    // MARK: all of them

    /// Every pod and container of every namespace. A record that cannot be read is left where it is and reported.
    func load() async throws -> (pods: [PodRow], containers: [ContainerRow]) {
        struct Found: Sendable {
            var sandboxes: [(NamespaceID, PodID, AnyMessage)] = []
            var containers: [(NamespaceID, ContainerID, AnyMessage)] = []
            var statuses: [String: [UInt8]] = [:]
        }
        let found = try await metadata.read { reader in
            var found = Found()
            for (namespace, _) in try reader.namespaces() {
                for record in try reader.sandboxes(in: namespace, filters: []) {
                    if let origin = record.extensions[Self.podExtension] {
                        found.sandboxes.append((namespace, record.id, origin))
                    }
                }
                for record in try reader.containers(in: namespace, filters: []) {
                    if let origin = record.extensions[Self.containerExtension] {
                        found.containers.append((namespace, record.id, origin))
                    }
                }
            }
            for (key, value) in try reader.values(table: Self.table, prefix: "") { found.statuses[key] = value }
            return found
        }
        let pods = found.sandboxes.compactMap { namespace, id, origin in
            decode("pod", id.rawValue) {
                PodRow(
                    id: id, namespace: namespace,
                    origin: try OCIJSON.decode(PodRow.Origin.self, origin.value, as: "origin"),
                    status: try Self.status(found.statuses["pod/\(namespace)/\(id)"]) ?? .init(phase: .stopped))
            }
        }
        let containers = found.containers.compactMap { namespace, id, origin in
            decode("container", id.rawValue) {
                ContainerRow(
                    id: id, namespace: namespace,
                    origin: try OCIJSON.decode(ContainerRow.Origin.self, origin.value, as: "origin"),
                    status: try Self.status(found.statuses["container/\(namespace)/\(id)"]) ?? .init(phase: .running))
            }
        }
        return (pods, containers)
    }

    private static func status<T: Decodable>(_ bytes: [UInt8]?) throws -> T? {
        try bytes.map { try OCIJSON.decode(T.self, $0, as: "status") }
    }

    private func decode<T>(_ what: String, _ id: String, _ body: () throws -> T) -> T? {
        do { return try body() } catch {
            logger.error("a record cannot be read and is left out", metadata: [what: "\(id)", "error": "\(error)"])
            return nil
        }
    }
}
