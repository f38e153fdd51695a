package import BerthTOML
package import SystemPackage

/// The configuration file with its imports: what the daemon is.
package struct Configuration: Sendable {
    /// Where content that survives reboots lies.
    package private(set) var root = FilePath("/var/lib/berth")
    /// Where state that a reboot clears lies.
    package private(set) var state = FilePath("/run/berth")
    /// The IDs of the plugins to start.
    package private(set) var enable: [String] = []
    /// The IDs without which the daemon does not start.
    package private(set) var required: [String] = []
    /// `level` and `format`, and levels by plugin.
    package private(set) var log = LogSettings()
    /// `[plugin.…]` tables by plugin ID, with the place of each value.
    package private(set) var plugins: [String: TOMLNode] = [:]
    /// The merged file, for the place of each value.
    package private(set) var merged = TOMLTable()
    /// The files that were read, in the order of reading: a later one wins over an earlier one.
    package private(set) var files: [String] = []
    /// Options of the command line that won over the file, by key.
    package private(set) var overrides: Set<String> = []

    /// The newest version of the file's layout.
    package static let version: Int64 = 1
    private static let topKeys = ["version", "root", "state", "enable", "required", "imports", "log", "plugin"]

    /// Reads a file and its imports; later files win over earlier ones, an import over the file that names it.
    ///
    /// - Throws: `TOMLProblems` with everything that is wrong.
    package init(file: String) throws {
        let reader = try ConfigurationFiles(reading: file)
        merged = reader.merged
        files = reader.files
        try take(merged, at: SourcePosition(file: file, line: 1, column: 1))
    }

    /// Reads a text without imports, for tests and for the built-in default.
    package init(text: String, file: String) throws {
        do { merged = try TOMLParser.parse(text, file: file) } catch let problem as TOMLProblem {
            throw TOMLProblems([problem])
        }
        files = [file]
        try take(merged, at: SourcePosition(file: file, line: 1, column: 1))
    }

    /// Puts a folder given on the command line over the file's.
    package mutating func override(root: String?, state: String?) throws {
        for (key, path) in [("root", root), ("state", state)] {
            guard let path else { continue }
            guard path.hasPrefix("/") else {
                throw OverrideProblem(description: "--\(key) must be an absolute path, not '\(path)'")
            }
            overrides.insert(key)
        }
        self.root = root.map { FilePath($0) } ?? self.root
        self.state = state.map { FilePath($0) } ?? self.state
        guard self.root.lexicallyNormalized() != self.state.lexicallyNormalized() else {
            throw OverrideProblem(description: "--root and --state must be two folders, not '\(self.root)' both")
        }
    }

    /// Where the value at a path of keys was written; nil for a default.
    package func place(of path: String...) -> SourcePosition? { merged.node(at: path)?.position }

    /// Where a plugin stands in `enable` or `required`.
    package func place(of id: String, in list: String) -> SourcePosition? {
        merged[list]?.array?.last { $0.string == id }?.position ?? merged[list]?.position
    }
}

/// An option of the command line that makes no sense.
package struct OverrideProblem: Error, CustomStringConvertible {
    package let description: String
}

extension Configuration {
    private mutating func take(_ table: TOMLTable, at start: SourcePosition) throws {
        var problems = Self.strangers(in: table, start)
        switch table["version"] {
        case nil: problems.append(TOMLProblem(start, "'version = \(Self.version)' is missing"))
        case let node? where node.integer == Self.version: break
        case let node?:
            problems.append(
                TOMLProblem(node.position, "version \(node.text) is not known; this berthd reads \(Self.version)"))
        }
        root = Self.folder("root", table, root, &problems)
        state = Self.folder("state", table, state, &problems)
        if root.lexicallyNormalized() == state.lexicallyNormalized() {
            problems.append(TOMLProblem(table["state"]?.position ?? start, "'root' and 'state' must be two folders"))
        }
        enable = Self.strings("enable", table, &problems)
        required = Self.strings("required", table, &problems)
        if let node = table["log"] { takeLog(node, &problems) }
        if let node = table["plugin"] { takePlugins(node, &problems) }
        for node in table["required"]?.array ?? [] {
            guard let id = node.string, !enable.contains(id) else { continue }
            problems.append(TOMLProblem(node.position, "required plugin '\(id)' is not in 'enable'"))
        }
        guard problems.isEmpty else { throw TOMLProblems(problems.sorted { $0.position < $1.position }) }
    }

    /// Keys that the file may not have; proxies, which do not exist yet, are refused one by one.
    private static func strangers(in table: TOMLTable, _ start: SourcePosition) -> [TOMLProblem] {
        var problems: [TOMLProblem] = []
        for key in table.keys where !topKeys.contains(key) {
            guard let node = table[key] else { continue }
            if key == "proxy" {
                problems += proxies(node)
            } else {
                let hint = nearest(to: key, among: topKeys).map { "; did you mean '\($0)'?" } ?? ""
                problems.append(TOMLProblem(node.position, "unknown key '\(key)'\(hint)"))
            }
        }
        return problems
    }

    private static func proxies(_ node: TOMLNode) -> [TOMLProblem] {
        var names: [(String, SourcePosition)] = []
        for service in node.table?.keys ?? [] {
            guard let proxies = node.table?[service]?.table, !proxies.keys.isEmpty else { continue }
            names += proxies.keys.map { ("proxy.\(service).\($0)", proxies[$0]?.position ?? node.position) }
        }
        if names.isEmpty { names = [("proxy", node.position)] }
        return names.map { name, position in
            TOMLProblem(position, "'\(name)': this version has no proxy plugins; remove the table")
        }
    }

    private mutating func takeLog(_ node: TOMLNode, _ problems: inout [TOMLProblem]) {
        do { log = try decodeOver(LogSettings(), node, path: "log") } catch {
            problems += (error as? TOMLProblems)?.all ?? [TOMLProblem(node.position, "\(error)")]
        }
    }

    /// `[plugin.snapshotter.overlay]` is the table of `snapshotter.overlay`.
    private mutating func takePlugins(_ node: TOMLNode, _ problems: inout [TOMLProblem]) {
        guard let services = node.table else {
            problems.append(TOMLProblem(node.position, "'plugin' must be a table, not \(node.kind)"))
            return
        }
        for service in services.keys {
            guard let inner = services[service] else { continue }
            guard let names = inner.table else {
                problems.append(
                    TOMLProblem(inner.position, "'plugin.\(service)' must be a table of plugins, not \(inner.kind)"))
                continue
            }
            for name in names.keys { plugins["\(service).\(name)"] = names[name] }
        }
    }

    private static func folder(
        _ key: String, _ table: TOMLTable, _ initial: FilePath, _ problems: inout [TOMLProblem]
    ) -> FilePath {
        guard let node = table[key] else { return initial }
        guard let text = node.string, text.hasPrefix("/") else {
            problems.append(TOMLProblem(node.position, "'\(key)' must be an absolute path, not \(node.text)"))
            return initial
        }
        return FilePath(text)
    }

    private static func strings(_ key: String, _ table: TOMLTable, _ problems: inout [TOMLProblem]) -> [String] {
        guard let node = table[key] else { return [] }
        guard let items = node.array else {
            problems.append(TOMLProblem(node.position, "'\(key)' must be an array of plugin IDs, not \(node.kind)"))
            return []
        }
        for item in items where item.string == nil {
            problems.append(TOMLProblem(item.position, "'\(key)' must hold plugin IDs, not \(item.kind)"))
        }
        return items.compactMap(\.string)
    }
}
