package import BerthTOML
internal import BerthBase
internal import Glibc
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
    /// The merged file, for `config print`.
    package private(set) var merged = TOMLTable()
    /// The files that were read, the main one last.
    package private(set) var files: [String] = []

    /// How the daemon logs.
    package struct LogSettings: Codable, Sendable, Equatable {
        /// trace, debug, info, notice, warning, error or critical.
        package var level = "info"
        /// text or json.
        package var format = "text"
        /// Levels of single plugins.
        package var plugins: [String: String] = [:]
        package init() {}
    }

    /// The newest version of the file's layout.
    package static let version: Int64 = 1
    private static let topKeys = ["version", "root", "state", "enable", "required", "imports", "log", "plugin"]

    /// Reads a file and its imports; later files win over earlier ones, the file over its imports.
    ///
    /// - Throws: `TOMLProblems` with everything that is wrong.
    package init(file: String) throws {
        var reader = ImportReader()
        merged = try reader.read(file, importedBy: nil)
        files = reader.files
        try take(merged, at: SourcePosition(file: file, line: 1, column: 1))
    }

    /// Reads a text without imports, for tests and for the built-in default.
    package init(text: String, file: String) throws {
        merged = try wrapping { try TOMLParser.parse(text, file: file) }
        files = [file]
        try take(merged, at: SourcePosition(file: file, line: 1, column: 1))
    }

    /// Puts a folder given on the command line over the file's.
    package mutating func override(root: String?, state: String?) {
        if let root { self.root = FilePath(root) }
        if let state { self.state = FilePath(state) }
    }

    private mutating func take(_ table: TOMLTable, at start: SourcePosition) throws {
        var problems: [TOMLProblem] = []
        for key in table.keys where !Self.topKeys.contains(key) {
            let hint = nearest(to: key, among: Self.topKeys).map { "; did you mean '\($0)'?" } ?? ""
            problems.append(TOMLProblem(table[key]?.position ?? start, "unknown key '\(key)'\(hint)"))
        }
        switch table["version"]?.integer {
        case Self.version?: break
        case nil: problems.append(TOMLProblem(table["version"]?.position ?? start, "'version' must be \(Self.version)"))
        case let other?:
            problems.append(
                TOMLProblem(table["version"]?.position ?? start, "version \(other) is not known; this berthd reads \(Self.version)"))
        }
        root = Self.folder("root", table, root, &problems)
        state = Self.folder("state", table, state, &problems)
        enable = Self.strings("enable", table, start, &problems)
        required = Self.strings("required", table, start, &problems)
        if let node = table["log"] { takeLog(node, &problems) }
        if let node = table["plugin"] { takePlugins(node, &problems) }
        for id in required where !enable.contains(id) {
            problems.append(TOMLProblem(table["required"]?.position ?? start, "required plugin '\(id)' is not in 'enable'"))
        }
        guard problems.isEmpty else { throw TOMLProblems(problems) }
    }

    private mutating func takeLog(_ node: TOMLNode, _ problems: inout [TOMLProblem]) {
        do {
            log = try decodeOver(LogSettings(), node, path: "log")
            let levels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]
            for level in [log.level] + log.plugins.values where !levels.contains(level) {
                problems.append(TOMLProblem(node.position, "log level '\(level)' is none of \(levels.joined(separator: ", "))"))
            }
            if log.format != "text" && log.format != "json" {
                problems.append(TOMLProblem(node.position, "log format '\(log.format)' is neither text nor json"))
            }
        } catch { problems += (error as? TOMLProblems)?.all ?? [TOMLProblem(node.position, "\(error)")] }
    }

    /// `[plugin.snapshotter.overlay]` is the table of `snapshotter.overlay`.
    private mutating func takePlugins(_ node: TOMLNode, _ problems: inout [TOMLProblem]) {
        guard let services = node.table else {
            problems.append(TOMLProblem(node.position, "'plugin' must be a table"))
            return
        }
        for service in services.keys {
            guard let names = services[service]?.table else {
                problems.append(TOMLProblem(services[service]?.position ?? node.position, "'plugin.\(service)' must be a table of plugins"))
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
            problems.append(TOMLProblem(node.position, "'\(key)' must be an absolute path"))
            return initial
        }
        return FilePath(text)
    }

    private static func strings(
        _ key: String, _ table: TOMLTable, _ start: SourcePosition, _ problems: inout [TOMLProblem]
    ) -> [String] {
        guard let node = table[key] else { return [] }
        guard let items = node.array, items.allSatisfy({ $0.string != nil }) else {
            problems.append(TOMLProblem(node.position, "'\(key)' must be an array of plugin IDs"))
            return []
        }
        return items.compactMap(\.string)
    }
}

/// Decodes `node` with the values of `defaults` for keys that it lacks.
func decodeOver<T: Codable>(_ defaults: T, _ node: TOMLNode, path: String) throws -> T {
    guard let table = node.table else {
        throw TOMLProblems([TOMLProblem(node.position, "'\(path)' must be a table, not \(node.kind)")])
    }
    var whole = try TOMLEncoder.encode(defaults, at: SourcePosition(file: "default", line: 0, column: 0))
    whole.merge(table)
    return try TOMLDecoder.decode(T.self, from: whole, at: node.position, path: path)
}

private func wrapping<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch let problem as TOMLProblem { throw TOMLProblems([problem]) }
}

/// Reads a file after the files it imports.
private struct ImportReader {
    var files: [String] = []
    private var open: [String] = []

    mutating func read(_ file: String, importedBy importer: SourcePosition?) throws -> TOMLTable {
        let start = importer ?? SourcePosition(file: file, line: 1, column: 1)
        if let first = open.firstIndex(of: file) {
            let cycle = (open[first...] + [file]).joined(separator: " → ")
            throw TOMLProblems([TOMLProblem(start, "imports go in a circle: \(cycle)")])
        }
        open.append(file)
        defer { open.removeLast() }
        let text: String
        do { text = try contents(of: file) } catch {
            throw TOMLProblems([TOMLProblem(start, "\(error)")])
        }
        let own = try wrapping { try TOMLParser.parse(text, file: file) }
        var merged = TOMLTable()
        for node in own["imports"]?.array ?? [] {
            guard let pattern = node.string else {
                throw TOMLProblems([TOMLProblem(node.position, "'imports' must be an array of paths")])
            }
            for path in try Self.expand(pattern, besides: file, at: node.position) {
                merged.merge(try read(path, importedBy: node.position))
            }
        }
        merged.merge(own)
        merged["imports"] = nil
        files.append(file)
        return merged
    }

    /// A pattern relative to the importing file; one without wildcards must exist.
    private static func expand(_ pattern: String, besides file: String, at position: SourcePosition) throws -> [String] {
        let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
        let whole = pattern.hasPrefix("/") ? pattern : folder + pattern
        guard whole.contains(where: { "*?[".contains($0) }) else { return [whole] }
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(whole, 0, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { index in
            found.gl_pathv[index].map { String(cString: $0) }
        }
    }
}

private func contents(of path: String) throws -> String {
    guard let file = fopen(path, "re") else {
        throw BerthError(.notFound, "read '\(path)': \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { break }
        bytes += buffer[0..<count]
        if bytes.count > 4 << 20 { throw BerthError(.resourceExhausted, "read '\(path)': larger than 4 MiB") }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
        throw BerthError(.invalidArgument, "read '\(path)': it is not UTF-8")
    }
    return text
}
