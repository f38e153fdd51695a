internal import BerthBase

/// A loaded CNI network: a list of plugins run in order. Source: CNI spec 1.1, section 1.
struct NetworkConfiguration: Sendable {
    /// One plugin of the list.
    struct Step: Sendable {
        /// The executable's name, one path component.
        var type: String
        /// The plugin's configuration as it lies in the file.
        var configuration: JSONValue
        /// Capabilities the plugin declares.
        var capabilities: Set<String>
    }

    /// The file it came from, for messages.
    var file: String
    var cniVersion: String
    var name: String
    var disableCheck: Bool
    var disableGC: Bool
    var steps: [Step]

    /// Versions of the CNI spec that Berth speaks.
    static let versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]

    /// Reads a `.conflist` (a list), a `.conf` or a `.json` (one plugin).
    ///
    /// - Throws: `invalidArgument` that names the file and what is wrong in it.
    init(file: String, bytes: [UInt8]) throws {
        func wrong(_ what: String) -> BerthError {
            BerthError(.invalidArgument, "CNI configuration '\(file)': \(what)")
        }
        let json: JSONValue
        do { json = try JSONValue(parsing: bytes) } catch { throw wrong("\(error)") }
        guard case .object(let top) = json else { throw wrong("it is no JSON object") }
        self.file = file
        guard let name = top["name"]?.string, Self.isName(name) else {
            throw wrong("'name' must be letters, digits, '_', '-' and '.'")
        }
        self.name = name
        cniVersion = try Self.version(top, wrong)
        disableCheck = top["disableCheck"]?.bool ?? false
        disableGC = top["disableGC"]?.bool ?? false
        let plugins: [JSONValue]
        if let list = top["plugins"] {
            guard case .array(let items) = list, !items.isEmpty else {
                throw wrong("'plugins' must be a list of plugins")
            }
            plugins = items
        } else {
            plugins = [json]
        }
        steps = []
        for plugin in plugins { steps.append(try Self.step(plugin, wrong)) }
    }

    /// The highest version of `cniVersion` and the list `cniVersions` that Berth speaks.
    private static func version(_ top: [String: JSONValue], _ wrong: (String) -> BerthError) throws -> String {
        var offered = top["cniVersions"]?.array?.compactMap(\.string) ?? []
        offered.append(top["cniVersion"]?.string ?? (offered.isEmpty ? "0.2.0" : ""))
        if let best = versions.last(where: offered.contains) { return best }
        let words = offered.filter { !$0.isEmpty }.joined(separator: ", ")
        throw wrong("cniVersion '\(words)' is none of \(versions.joined(separator: ", "))")
    }

    /// Whether the configuration's version is at least this one.
    func speaks(_ version: String) -> Bool {
        guard let own = Self.versions.firstIndex(of: cniVersion), let other = Self.versions.firstIndex(of: version)
        else { return false }
        return own >= other
    }

    /// Whether it does nothing but bring `lo` up, which is done for every pod anyway.
    var isLoopbackOnly: Bool { steps.allSatisfy { $0.type == "loopback" } }

    private static func step(_ plugin: JSONValue, _ wrong: (String) -> BerthError) throws -> Step {
        guard case .object(let fields) = plugin, let type = fields["type"]?.string else {
            throw wrong("a plugin has no 'type'")
        }
        // CVE-2021-20206: a type with a slash would execute anything.
        guard !type.isEmpty, !type.contains("/"), type != ".", type != "..", !type.utf8.contains(0) else {
            throw wrong("plugin type '\(type)' must be a file name, not a path")
        }
        var capabilities: Set<String> = []
        if case .object(let declared)? = fields["capabilities"] {
            capabilities = Set(declared.filter { $0.value.bool == true }.map(\.key))
        }
        return Step(type: type, configuration: plugin, capabilities: capabilities)
    }

    private static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 255 else { return false }
        func alphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        return alphanumeric(first) && name.utf8.allSatisfy { alphanumeric($0) || "_.-".utf8.contains($0) }
    }

    /// The standard input of one plugin: its configuration with the list's name and version, the runtime
    /// configuration its capabilities ask for, and the result of the plugin before it.
    func input(
        for step: Step, capabilities: [String: JSONValue], previous: JSONValue?, extra: [String: JSONValue] = [:]
    ) -> [UInt8] {
        guard case .object(var fields) = step.configuration else { return [] }
        fields["name"] = .string(name)
        fields["cniVersion"] = .string(cniVersion)
        fields["cniVersions"] = nil
        fields["plugins"] = nil
        fields["capabilities"] = nil
        let runtime = capabilities.filter { step.capabilities.contains($0.key) }
        if !runtime.isEmpty { fields["runtimeConfig"] = .object(runtime) }
        if let previous { fields["prevResult"] = previous }
        fields.merge(extra) { $1 }
        return JSONValue.object(fields).encoded()
    }
}
