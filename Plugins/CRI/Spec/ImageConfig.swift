internal import BerthBase

/// What an image says about how to run it. Source: OCI image spec, "Image Configuration". Hostile input: wrong kinds of
/// values are errors, and labels under reserved prefixes are dropped.
struct ImageConfig: Sendable, Hashable {
    var user = ""
    var environment: [String] = []
    var entrypoint: [String] = []
    var command: [String] = []
    var volumes: [String] = []
    var workingDirectory = ""
    var labels: [String: String] = [:]
    var stopSignal = ""
    /// Labels that were dropped, for one warning.
    var droppedLabels: [String] = []

    init() {}

    /// - Throws: `invalidArgument` that names the field.
    init(json: [UInt8]) throws {
        let document: JSONValue
        do { document = try JSONValue(parsing: json) } catch {
            throw BerthError.wrapping(error).during("read the image's config")
        }
        guard let config = document["config"], config != .null else { return }
        guard case .object = config else { throw Self.wrong("config", "object") }
        user = try Self.text(config, "User")
        workingDirectory = try Self.text(config, "WorkingDir")
        stopSignal = try Self.text(config, "StopSignal")
        environment = try Self.texts(config, "Env")
        entrypoint = try Self.texts(config, "Entrypoint")
        command = try Self.texts(config, "Cmd")
        volumes = try Self.object(config, "Volumes").keys.sorted()
        for (name, value) in try Self.object(config, "Labels") {
            guard let text = value.string else { throw Self.wrong("config.Labels", "object of strings") }
            if ReservedLabels.isReserved(name) { droppedLabels.append(name) } else { labels[name] = text }
        }
        droppedLabels.sort()
    }

    private static func wrong(_ field: String, _ kind: String) -> BerthError {
        BerthError(.invalidArgument, "read the image's config: '\(field)' is not an \(kind)")
    }

    private static func text(_ config: JSONValue, _ name: String) throws -> String {
        switch config[name] {
        case nil, .null: return ""
        case .string(let text): return text
        default: throw BerthError(.invalidArgument, "read the image's config: 'config.\(name)' is not a string")
        }
    }

    private static func texts(_ config: JSONValue, _ name: String) throws -> [String] {
        guard let value = config[name], value != .null else { return [] }
        let items = value.array?.map(\.string)
        guard let items, !items.contains(nil) else { throw wrong("config.\(name)", "array of strings") }
        return items.compactMap { $0 }
    }

    private static func object(_ config: JSONValue, _ name: String) throws -> [String: JSONValue] {
        guard let value = config[name], value != .null else { return [:] }
        guard let fields = value.object else { throw wrong("config.\(name)", "object") }
        return fields
    }
}

/// Label names that only the daemon and its trusted clients write, never an image (CVE-2026-53488).
enum ReservedLabels {
    private static let prefixes = ["containerd.io/", "io.cri-containerd", "berth.io/"]

    static func isReserved(_ name: String) -> Bool { prefixes.contains { name.hasPrefix($0) } }
}
