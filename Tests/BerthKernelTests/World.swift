import BerthBase
import BerthKernel
import Glibc
import Logging

/// A folder of the test's own, removed with it.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/berth-kernel-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BerthError(.internal, "make a temporary folder") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { remove(path) }

    private func remove(_ path: String) {
        for name in names(path) { remove("\(path)/\(name)") }
        if rmdir(path) != 0 { unlink(path) }
    }

    func names(_ folder: String? = nil) -> [String] {
        guard let stream = opendir(folder ?? path) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        var slash = file.startIndex
        while let next = file[file.index(after: slash)...].firstIndex(of: "/") {
            slash = next
            mkdir(String(file[..<slash]), 0o755)
        }
        guard let stream = fopen(file, "we") else { throw BerthError(.internal, "write '\(file)'") }
        fwrite(text, 1, text.utf8.count, stream)
        fclose(stream)
        return file
    }

    func mode(_ name: String) -> UInt32 {
        var info = stat()
        return lstat("\(path)/\(name)", &info) == 0 ? info.st_mode & 0o7777 : 0
    }
}

/// What happened, in order.
final class Diary: Sendable {
    private let entries = Shared<[String]>([])
    func note(_ entry: String) { entries.withLock { $0.append(entry) } }
    var all: [String] { entries.withLock { $0 } }
}

protocol Ship: Sendable { var name: String { get } }
struct Boat: Ship { let name: String }
struct Failed: Error, CustomStringConvertible { let description: String }

extension ServiceKey where Interface == any Ship {
    static var harbour: Self { Self("harbour") }
    static var dock: Self { Self("dock") }
    static var crane: Self { Self("crane") }
}

struct BoatConfig: PluginConfig, Equatable {
    var length = 3
    var colours: [String] = ["red"]
    var flag: String?
    static var keys: [ConfigKey] {
        [
            ConfigKey("length", "how long it is", reloads: true), ConfigKey("colours", "its colours"),
            ConfigKey("flag", "its flag"),
        ]
    }
    func validate() throws {
        guard length > 0 else { throw BerthError(.invalidArgument, "length must be at least 1") }
    }
}

/// A kernel over plugins with a folder of its own.
struct World {
    let folder: TemporaryFolder
    let diary = Diary()
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init() throws { folder = try TemporaryFolder() }

    func configuration(_ plugins: [Plugin], required: [String] = [], more: String = "") throws -> Configuration {
        let ids = plugins.map { "\"\($0.id)\"" }.joined(separator: ", ")
        return try Configuration(
            text: """
                version = 1
                root = "\(folder.path)/root"
                state = "\(folder.path)/state"
                enable = [\(ids)]
                required = [\(required.map { "\"\($0)\"" }.joined(separator: ", "))]
                \(more)
                """, file: "c.toml")
    }

    func kernel(
        _ plugins: [Plugin], required: [String] = [], more: String = "", patience: Kernel.Patience = Kernel.Patience()
    ) throws -> Kernel {
        try Kernel(
            plugins: plugins, configuration: try configuration(plugins, required: required, more: more), logger: logger,
            patience: patience)
    }

    /// A plugin that notes its start and its stop.
    func plugin<each Need: Sendable>(
        _ name: String, _ key: ServiceKey<any Ship>, needs: repeat Requirement<each Need>, fails: (any Error)? = nil
    ) -> Plugin {
        let diary = diary
        return Plugin(name, provides: key, config: NoConfig.self, requires: repeat each needs) {
            (context: PluginContext<NoConfig>, value: repeat each Need) in
            context.onStop("close") { diary.note("stop \(context.id)") }
            diary.note("start \(context.id)")
            if let fails { throw fails }
            return Boat(name: name) as any Ship
        }
    }

    /// Waits until a plugin is in a state, at most five seconds; returns the state it is in.
    func state(of id: String, in kernel: Kernel, until wanted: (PluginState) -> Bool) async -> PluginState? {
        for _ in 0..<500 {
            if let state = report(id, kernel)?.state, wanted(state) { return state }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return report(id, kernel)?.state
    }

    func report(_ id: String, _ kernel: Kernel) -> PluginReport? {
        kernel.view.plugins().first { $0.id.description == id }
    }
}
