internal import BerthBase
internal import BerthKernel
internal import BerthSystem
internal import Glibc
internal import Logging
internal import SystemPackage

/// A folder of a case's own, and a kernel with the plugin under test and what it needs.
struct PluginWorld {
    /// Starts and stops that are compared with the first: what leaks once a time is that many by then.
    static let rounds = 6

    /// How long a plugin with nothing to do may take to stop.
    static let stopPatience = Duration.seconds(5)

    private let subject: PluginConformance.Subject
    private let plugins: [Plugin]
    private let required: Plugin?

    /// - Parameter failing: the service whose providers throw.
    init(
        _ subject: PluginConformance.Subject, more: [Plugin] = [], required: Plugin? = nil, failing: String? = nil
    ) throws {
        self.subject = subject
        self.required = required
        let needed = try Self.closure(of: subject)
        plugins = needed.map { $0.id.service == failing ? $0.failing("on purpose") : $0 } + more
    }

    /// The plugin and one provider of each service it needs, and so on.
    private static func closure(of subject: PluginConformance.Subject) throws -> [Plugin] {
        var found = [subject.plugin]
        var queue = subject.plugin.singleNeeds
        while let service = queue.popLast() {
            if service == "kernel" || found.contains(where: { $0.id.service == service }) { continue }
            let candidates = subject.others.filter { $0.id.service == service }.sorted { $0.id < $1.id }
            guard let provider = candidates.first else {
                throw PluginConformance.Failure(description: "no plugin provides '\(service)'")
            }
            found.append(provider)
            queue += provider.singleNeeds
        }
        return found
    }

    /// Runs `body` with a fresh kernel again and again, and compares what the process holds afterwards.
    func cycles(_ body: (Kernel, PluginID) async throws -> Void) async throws {
        let folder = try Self.makeFolder()
        do {
            try await run(in: folder, body)
        } catch {
            try? await Self.remove(folder)
            throw error
        }
        try await Self.remove(folder)
    }

    private func run(in folder: String, _ body: (Kernel, PluginID) async throws -> Void) async throws {
        // The first time opens what a process keeps: its event loop, its pools, locale files.
        try await body(kernel(in: folder), subject.plugin.id)
        let before = Self.descriptors()
        let threads = Self.count("/proc/self/task")
        for _ in 0..<Self.rounds { try await body(kernel(in: folder), subject.plugin.id) }
        var leaked: [String] = []
        // What closes in the background is given a moment.
        for _ in 0..<100 {
            leaked = Self.leaks(before, Self.descriptors())
            if leaked.isEmpty { break }
            try await Task.sleep(for: .milliseconds(20))
        }
        try PluginConformance.expect(leaked.isEmpty, "descriptors are left: \(leaked.joined(separator: ", "))")
        let grown = Self.count("/proc/self/task") - threads
        try PluginConformance.expect(grown < Self.rounds, "\(grown) threads are left by \(Self.rounds) rounds")
        let mounts = try attempting("read the mounts") { () throws(Errno) in try MountInfo.current() }
            .filter { $0.mountPoint.hasPrefix(folder) }
        try PluginConformance.expect(mounts.isEmpty, "mounts are left: \(mounts.map(\.mountPoint))")
        let strays = Self.strays(in: folder)
        try PluginConformance.expect(strays.isEmpty, "files are left: \(strays.joined(separator: ", "))")
    }

    private func kernel(in folder: String) throws -> Kernel {
        func list(_ items: [Plugin]) -> String { items.map { "\"\($0.id)\"" }.joined(separator: ", ") }
        let text = """
            version = 1
            root = "\(folder)/root"
            state = "\(folder)/state"
            enable = [\(list(plugins))]
            required = [\(list(required.map { [$0] } ?? []))]

            """
        let more = subject.configuration.replacing("$WORLD", with: folder)
        var patience = Kernel.Patience()
        patience.stop = Self.stopPatience
        let logger = Logger(label: "conformance") { _ in SwiftLogNoOpLogHandler() }
        let others = subject.others.filter { other in !plugins.contains { $0.id == other.id } }
        return try Kernel(
            plugins: plugins + others, configuration: Configuration(text: text + more, file: "conformance.toml"),
            logger: logger, patience: patience)
    }

    /// Sockets and pipes anywhere, and whatever lies beside the root and the state.
    private static func strays(in folder: String) -> [String] {
        var found = ((try? Files.names(in: folder)) ?? []).filter { $0 != "root" && $0 != "state" }
        var queue = [folder]
        while let path = queue.popLast() {
            for name in (try? Files.names(in: path)) ?? [] {
                guard let status = try? Files.status("\(path)/\(name)") else { continue }
                if status.isDirectory { queue.append("\(path)/\(name)") }
                if status.isFIFO || status.mode & S_IFMT == S_IFSOCK { found.append("\(path)/\(name)") }
            }
        }
        return found
    }

    /// What the open descriptors are, counted by kind or path.
    private static func descriptors() -> [String: Int] {
        var all: [String: Int] = [:]
        for name in (try? Files.names(in: "/proc/self/fd")) ?? [] {
            var buffer = [UInt8](repeating: 0, count: 4096)
            // SAFETY: the buffer is as long as its count says.
            let count = readlink("/proc/self/fd/\(name)", &buffer, buffer.count)
            guard count > 0 else { continue }
            let target = String(decoding: buffer[..<count], as: UTF8.self)
            // `socket:[123]` is another number each time; the kind is what counts.
            all[target.hasPrefix("/") ? target : String(target.prefix { $0 != "[" }), default: 0] += 1
        }
        return all
    }

    private static func leaks(_ before: [String: Int], _ after: [String: Int]) -> [String] {
        // A pool or a timer that is made late is no leak: only what grows with the rounds is.
        after.filter { $0.value - before[$0.key, default: 0] > rounds / 2 }.map {
            "\($0.value - before[$0.key, default: 0]) × \($0.key)"
        }
        .sorted()
    }

    private static func count(_ folder: String) -> Int { ((try? Files.names(in: folder)) ?? []).count }

    private static func makeFolder() throws -> String {
        var template = Array("/tmp/berth-plugin-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BerthError(.internal, "make a directory for a conformance case") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func remove(_ folder: String) async throws {
        _ = try await Blocking.run {
            try ChildProcess.run(.init("/bin/rm", ["-rf", folder], deadline: .seconds(60)))
        }
    }
}
