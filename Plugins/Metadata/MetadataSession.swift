internal import BerthBase
internal import BerthServices
internal import BerthStore

/// The metadata inside one transaction.
struct MetadataSession: MetadataWriter {
    let table: RecordTable
    let hints: TransactionHints

    init(_ table: RecordTable, hints: TransactionHints = TransactionHints()) {
        self.table = table
        self.hints = hints
    }

    private var connection: Connection { table.connection }

    func select<Record: Decodable>(
        _ kind: RecordKind, _ namespace: NamespaceID, _ filters: [String], _ field: (Record, [String]) -> String?
    ) throws -> [Record] {
        let parsed = try filters.map(Filter.init)
        let all: [Record] = try table.list(kind, namespace)
        if parsed.isEmpty { return all }
        return try all.filter { record in
            try Filter.any(parsed) { path in
                guard let value = field(record, path), !value.isEmpty || path[0] == "labels" else { return nil }
                return value
            }
        }
    }

    // MARK: Namespaces

    func namespaces() throws -> [(name: NamespaceID, labels: [String: String])] {
        var all: [(NamespaceID, [String: String])] = []
        try connection.query("SELECT name, labels FROM namespace ORDER BY name") { row in
            // Labels that cannot be read cost the namespace its labels and no more.
            all.append((NamespaceID(row[0].text), (try? RecordTable.decode(row[1].bytes)) ?? [:]))
        }
        return all
    }

    func putNamespace(_ name: NamespaceID, labels: [String: String]) throws {
        try Identifier.validate(name.rawValue, as: "namespace")
        try RecordTable.check(labels: labels)
        try connection.run(
            "INSERT OR REPLACE INTO namespace VALUES (?, ?)",
            [.text(name.rawValue), .blob(try RecordTable.encode(labels))])
    }

    func deleteNamespace(_ name: NamespaceID) throws {
        if let row = try connection.first(
            "SELECT kind, key FROM record WHERE namespace = ? LIMIT 1", [.text(name.rawValue)])
        {
            throw BerthError(
                .failedPrecondition, "delete namespace '\(name)': it still holds \(row[0].text) '\(row[1].text)'")
        }
        guard try connection.run("DELETE FROM namespace WHERE name = ?", [.text(name.rawValue)]) > 0 else {
            throw BerthError(.notFound, "namespace '\(name)' not found")
        }
    }

    // MARK: Images

    func image(_ name: String, in namespace: NamespaceID) throws -> ImageRecord {
        try table.get(.image, name, namespace)
    }

    func images(in namespace: NamespaceID, filters: [String]) throws -> [ImageRecord] {
        try select(.image, namespace, filters) { (record: ImageRecord, path) in
            switch path {
            case ["name"]: record.name
            case ["target", "digest"]: record.target.digest.description
            case ["target", "mediatype"]: record.target.mediaType
            default: Filter.label(path, in: record.labels)
            }
        }
    }

    func putImage(_ image: ImageRecord, in namespace: NamespaceID) throws {
        guard !image.name.isEmpty else { throw BerthError(.invalidArgument, "put an image: it has no name") }
        try RecordTable.check(labels: image.labels)
        var record = image
        record.updatedAt = .now()
        let before = try? self.image(image.name, in: namespace)
        if let before { record.createdAt = before.createdAt }
        if let before, before.target.digest != image.target.digest { hints.removed() }
        hints.changed(from: before?.labels, to: image.labels)
        try table.put(.image, image.name, namespace, record)
    }

    func deleteImage(_ name: String, in namespace: NamespaceID) throws {
        try table.delete(.image, name, namespace)
        hints.removed()
    }

    // MARK: Containers

    func container(_ id: ContainerID, in namespace: NamespaceID) throws -> ContainerRecord {
        try table.get(.container, id.rawValue, namespace)
    }

    func containers(in namespace: NamespaceID, filters: [String]) throws -> [ContainerRecord] {
        try select(.container, namespace, filters) { (record: ContainerRecord, path) in
            switch path {
            case ["id"]: record.id.rawValue
            case ["image"]: record.image
            case ["runtime", "name"]: record.runtime
            case ["snapshotter"]: record.snapshotter
            case ["sandbox"]: record.sandboxID?.rawValue
            default: Filter.label(path, in: record.labels)
            }
        }
    }

    func createContainer(_ container: ContainerRecord, in namespace: NamespaceID) throws {
        try Identifier.validate(container.id.rawValue, as: "container ID")
        try RecordTable.check(labels: container.labels)
        try table.create(.container, container.id.rawValue, namespace, container)
    }

    func updateContainer(_ container: ContainerRecord, in namespace: NamespaceID) throws {
        try RecordTable.check(labels: container.labels)
        var record = container
        let before = try self.container(container.id, in: namespace)
        record.createdAt = before.createdAt
        hints.changed(from: before.labels, to: container.labels)
        record.updatedAt = .now()
        try table.update(.container, container.id.rawValue, namespace, record)
    }

    func deleteContainer(_ id: ContainerID, in namespace: NamespaceID) throws {
        try table.delete(.container, id.rawValue, namespace)
        hints.removed()
    }

    // MARK: Sandboxes

    func sandbox(_ id: PodID, in namespace: NamespaceID) throws -> SandboxRecord {
        try table.get(.sandbox, id.rawValue, namespace)
    }

    func sandboxes(in namespace: NamespaceID, filters: [String]) throws -> [SandboxRecord] {
        try select(.sandbox, namespace, filters) { (record: SandboxRecord, path) in
            switch path {
            case ["id"]: record.id.rawValue
            case ["runtime", "name"]: record.runtime
            case ["sandboxer"]: record.sandboxer
            default: Filter.label(path, in: record.labels)
            }
        }
    }

    func createSandbox(_ sandbox: SandboxRecord, in namespace: NamespaceID) throws {
        try Identifier.validate(sandbox.id.rawValue, as: "sandbox ID")
        try RecordTable.check(labels: sandbox.labels)
        try table.create(.sandbox, sandbox.id.rawValue, namespace, sandbox)
    }

    func updateSandbox(_ sandbox: SandboxRecord, in namespace: NamespaceID) throws {
        try RecordTable.check(labels: sandbox.labels)
        var record = sandbox
        let before = try self.sandbox(sandbox.id, in: namespace)
        record.createdAt = before.createdAt
        hints.changed(from: before.labels, to: sandbox.labels)
        record.updatedAt = .now()
        try table.update(.sandbox, sandbox.id.rawValue, namespace, record)
    }

    func deleteSandbox(_ id: PodID, in namespace: NamespaceID) throws {
        try table.delete(.sandbox, id.rawValue, namespace)
        hints.removed()
    }

    // MARK: Values

    func value(_ key: String, table name: String) throws -> [UInt8]? {
        try connection.first("SELECT value FROM value WHERE tab = ? AND key = ?", [.text(name), .text(key)])?[0].bytes
    }

    func values(table name: String, prefix: String) throws -> [(key: String, value: [UInt8])] {
        var all: [(String, [UInt8])] = []
        try connection.query(
            "SELECT key, value FROM value WHERE tab = ?1 AND substr(key, 1, length(?2)) = ?2 ORDER BY key",
            [.text(name), .text(prefix)]
        ) { all.append(($0[0].text, $0[1].bytes)) }
        return all
    }

    func setValue(_ value: [UInt8]?, for key: String, table name: String) throws {
        if let value {
            try connection.run(
                "INSERT OR REPLACE INTO value VALUES (?, ?, ?)", [.text(name), .text(key), .blob(value)])
        } else {
            try connection.run("DELETE FROM value WHERE tab = ? AND key = ?", [.text(name), .text(key)])
        }
    }
}
