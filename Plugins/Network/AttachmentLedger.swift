internal import BerthBase
internal import BerthServices
internal import FoundationEssentials

/// What was attempted for one pod, with everything a teardown needs even if the configuration is gone by then.
struct Attachment: Codable, Sendable {
    /// How far it is.
    enum Phase: String, Codable, Sendable {
        /// A namespace or an ADD is about to be.
        case attempting
        /// ADD has succeeded.
        case attached
        /// DEL and the namespace's removal are due.
        case detaching
    }

    var request: PodNetworkRequest
    var phase: Phase
    /// The configuration file's name and text that ADD used; empty: no ADD was attempted.
    var file: String
    var configuration: [UInt8]
    var result: [UInt8] = []
    var addresses: [String] = []
    var attempts = 0
    var lastError = ""
    /// The pods' address range at ADD: DEL needs the same capability arguments.
    var podCIDR: String?

    /// Before a namespace is made.
    init(reserving pod: PodID, netns: String) {
        request = PodNetworkRequest(pod: pod, netns: netns)
        phase = .attempting
        file = ""
        configuration = []
    }

    /// Before an ADD.
    init(request: PodNetworkRequest, network: LoadedNetwork, podCIDR: String?) {
        self.request = request
        self.podCIDR = podCIDR
        phase = .attempting
        file = network.configuration.file
        configuration = network.bytes
    }
}

/// The rows of attachments. A power cut must not forget an address that an IPAM plugin gave out.
struct AttachmentLedger: Sendable {
    private static let table = "network.cni"
    private static let settings = "network.cni.settings"
    let metadata: any MetadataStore

    func put(_ attachment: Attachment) async throws {
        let value = try Self.encode(attachment)
        let key = attachment.request.pod.rawValue
        try await metadata.write(durability: .powerCut) { try $0.setValue(value, for: key, table: Self.table) }
    }

    func get(_ pod: PodID) async throws -> Attachment? {
        try await metadata.read { try Self.decode($0.value(pod.rawValue, table: Self.table), pod) }
    }

    /// Changes a row in one transaction and returns it; nil: there is none.
    @discardableResult
    func update(_ pod: PodID, _ body: @escaping @Sendable (inout Attachment) throws -> Void) async throws -> Attachment?
    {
        try await metadata.write(durability: .powerCut) { writer in
            guard var attachment = try Self.decode(writer.value(pod.rawValue, table: Self.table), pod) else {
                return nil
            }
            try body(&attachment)
            try writer.setValue(try Self.encode(attachment), for: pod.rawValue, table: Self.table)
            return attachment
        }
    }

    func remove(_ pod: PodID) async throws {
        try await metadata.write(durability: .powerCut) {
            try $0.setValue(nil, for: pod.rawValue, table: Self.table)
        }
    }

    /// Every row that can be read, and the pods of those that cannot: one bad row never stops the others.
    func all() async throws -> (readable: [Attachment], unreadable: [String]) {
        let values = try await metadata.read { try $0.values(table: Self.table, prefix: "") }
        var readable: [Attachment] = []
        var unreadable: [String] = []
        for (key, value) in values {
            if let attachment = try? JSONDecoder().decode(Attachment.self, from: Data(value)) {
                readable.append(attachment)
            } else {
                unreadable.append(key)
            }
        }
        return (readable, unreadable)
    }

    func podCIDR() async throws -> String? {
        let value = try await metadata.read { try $0.value("pod_cidr", table: Self.settings) }
        return value.map { String(decoding: $0, as: UTF8.self) }
    }

    func setPodCIDR(_ cidr: String) async throws {
        let value = cidr.isEmpty ? nil : Array(cidr.utf8)
        try await metadata.write { try $0.setValue(value, for: "pod_cidr", table: Self.settings) }
    }

    private static func encode(_ attachment: Attachment) throws -> [UInt8] {
        Array(try JSONEncoder().encode(attachment))
    }

    private static func decode(_ value: [UInt8]?, _ pod: PodID) throws -> Attachment? {
        guard let value else { return nil }
        do { return try JSONDecoder().decode(Attachment.self, from: Data(value)) } catch {
            throw BerthError(.dataLoss, "the network record of pod '\(pod)' cannot be read", cause: error)
        }
    }
}
