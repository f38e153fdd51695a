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

    /// Before a namespace is made.
    init(reserving pod: PodID, netns: String) {
        request = PodNetworkRequest(pod: pod, netns: netns)
        phase = .attempting
        file = ""
        configuration = []
    }

    /// Before an ADD.
    init(request: PodNetworkRequest, network: LoadedNetwork) {
        self.request = request
        phase = .attempting
        file = network.configuration.file
        configuration = network.bytes
    }
}

/// The rows of attachments.
struct AttachmentLedger: Sendable {
    private static let table = "network.cni"
    let metadata: any MetadataStore

    func put(_ attachment: Attachment) async throws {
        let value = Array(try JSONEncoder().encode(attachment))
        let key = attachment.request.pod.rawValue
        // A power cut must not forget an address that an IPAM plugin gave out.
        try await metadata.write(durability: .powerCut) { try $0.setValue(value, for: key, table: Self.table) }
    }

    func get(_ pod: PodID) async throws -> Attachment? {
        let value = try await metadata.read { try $0.value(pod.rawValue, table: Self.table) }
        return try value.map { try JSONDecoder().decode(Attachment.self, from: Data($0)) }
    }

    func remove(_ pod: PodID) async throws {
        try await metadata.write(durability: .powerCut) {
            try $0.setValue(nil, for: pod.rawValue, table: Self.table)
        }
    }

    func all() async throws -> [Attachment] {
        let values = try await metadata.read { try $0.values(table: Self.table, prefix: "") }
        return values.compactMap { try? JSONDecoder().decode(Attachment.self, from: Data($0.value)) }
    }
}
