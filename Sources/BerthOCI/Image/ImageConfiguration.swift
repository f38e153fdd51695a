package import BerthBase

/// The config of an image: what runs by default, and what its layers hash to. Source: OCI image spec, "Image
/// Configuration". Every field is hostile input.
package struct ImageConfiguration: Sendable, Hashable {
    package var platform: Platform
    /// Uncompressed layer digests, bottom first.
    package var diffIDs: [Digest]
    /// `user`, `uid`, `user:group` or numbers; not interpreted here.
    package var user: String
    /// `NAME=value`.
    package var environment: [String]
    package var entrypoint: [String]
    package var command: [String]
    package var workingDirectory: String
    package var volumes: [String]
    package var labels: [String: String]
    /// A signal's name or number; not interpreted here.
    package var stopSignal: String
    /// `port/protocol`.
    package var exposedPorts: [String]

    /// The longest config that is read.
    package static let maxSize = 8 << 20

    /// - Throws: `failedPrecondition` for what is no image config.
    package init(_ bytes: [UInt8]) throws {
        func wrong(_ why: String) -> BerthError {
            BerthError(.failedPrecondition, "the image's config cannot be used: \(why)")
        }
        let json: JSONValue
        do { json = try JSONValue(parsing: bytes) } catch let error as BerthError { throw wrong(error.message) }
        guard json.object != nil else { throw wrong("it is no JSON object") }
        platform = Platform(json: json)
        let rootfs = json["rootfs"]
        if let type = rootfs?["type"]?.string, type != "layers" {
            throw wrong("its rootfs is of type '\(type.prefix(80))'")
        }
        let texts = rootfs?["diff_ids"]?.array ?? []
        diffIDs = try texts.map { item in
            guard let text = item.string, let digest = try? Digest(text) else {
                throw wrong("a 'diff_ids' item is no digest")
            }
            return digest
        }
        let config = json["config"]
        func strings(_ key: String) -> [String] { config?[key]?.array?.compactMap(\.string) ?? [] }
        user = config?["User"]?.string ?? ""
        environment = strings("Env")
        entrypoint = strings("Entrypoint")
        command = strings("Cmd")
        workingDirectory = config?["WorkingDir"]?.string ?? ""
        volumes = config?["Volumes"]?.object?.keys.sorted() ?? []
        labels = config?["Labels"]?.object?.compactMapValues(\.string) ?? [:]
        stopSignal = config?["StopSignal"]?.string ?? ""
        exposedPorts = config?["ExposedPorts"]?.object?.keys.sorted() ?? []
    }
}
