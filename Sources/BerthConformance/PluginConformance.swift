internal import BerthBase
public import BerthKernel
internal import Glibc
internal import Logging
internal import SystemPackage

/// What every plugin must do, as data: a list of cases that an author runs over a plugin.
///
/// ```swift
/// @Test(.serialized, arguments: PluginConformance.cases)
/// func `my plugin conforms`(_ test: PluginConformance.Case) async throws {
///     try await test.run(PluginConformance.Subject(.mine, among: .builtins + [.mine], pages: "docs/plugins"))
/// }
/// ```
///
/// Descriptors and threads are counted for the whole process: run the cases one after the other, and nothing beside
/// them.
public enum PluginConformance {
    /// What is tested, and beside what.
    public struct Subject: Sendable {
        /// The plugin.
        public let plugin: Plugin
        /// Every plugin that may be needed to start it.
        public let others: [Plugin]
        /// More configuration, TOML: settings that keep plugins from touching the host. `$WORLD` is the case's folder.
        public let configuration: String
        /// The directory of the plugins' pages, `<id>.md` each; nil leaves that case out.
        public let pages: String?

        /// Names what is tested.
        public init(_ plugin: Plugin, among others: [Plugin], configuration: String = "", pages: String? = nil) {
            self.plugin = plugin
            self.others = others
            self.configuration = configuration
            self.pages = pages
        }
    }

    /// What was expected and did not happen.
    public struct Failure: Error, CustomStringConvertible {
        /// The sentence.
        public let description: String
    }

    /// One thing a plugin must do.
    public struct Case: Sendable, CustomStringConvertible {
        /// What it must do, as a sentence.
        public let description: String
        private let body: @Sendable (Subject) async throws -> Void

        init(_ name: String, _ body: @escaping @Sendable (Subject) async throws -> Void) {
            description = name
            self.body = body
        }

        /// Runs the case.
        ///
        /// - Throws: `Failure` when the plugin does not do it.
        public func run(_ subject: Subject) async throws { try await body(subject) }
    }

    /// All cases.
    public static let cases: [Case] = [
        Case("its settings decode from an empty table, round-trip, and are all described") { subject in
            let problems = subject.plugin.settingsProblems()
            try expect(problems.isEmpty, problems.joined(separator: "; "))
        },
        Case("its page names every key") { subject in
            guard let folder = subject.pages else { return }
            let path = "\(folder)/\(subject.plugin.id).md"
            let page = try readPage(path)
            let missing = subject.plugin.configKeys.map(\.name).filter { !page.contains("`\($0)`") }
            try expect(missing.isEmpty, "\(path) does not name \(missing.joined(separator: ", "))")
        },
        Case("it starts, and stopping twice leaves no descriptor, mount, thread or file") { subject in
            try await PluginWorld(subject).cycles { kernel, _ in
                try await kernel.start()
                await kernel.stop()
                await kernel.stop()
                let left = kernel.view.plugins().filter { $0.state != .stopped && !$0.state.isOutOfTheWay }
                try expect(
                    left.isEmpty, "after the stop: \(left.map { "\($0.id) \($0.state)" }.joined(separator: ", "))")
            }
        },
        Case("what started before a failure is undone") { subject in
            let failure = Plugin.failure(after: subject.plugin, "on purpose")
            try await PluginWorld(subject, more: [failure], required: failure).cycles { kernel, _ in
                do { try await kernel.start() } catch {
                    try expect("\(error)".contains("on purpose"), "the failure's reason is told: \(error)")
                    try expectNoneLeft(kernel)
                    return
                }
                throw Failure(description: "expected that a required plugin that throws ends the start")
            }
        },
        Case("without what it needs it is blocked, and the rest stops in order") { subject in
            for need in subject.plugin.singleNeeds where need != "kernel" {
                try await PluginWorld(subject, failing: need).cycles { kernel, id in
                    try await kernel.start()
                    let state = kernel.view.plugins().first { $0.id == id }?.state
                    await kernel.stop()
                    guard case .blocked? = state else {
                        throw Failure(
                            description:
                                "expected that it is blocked without '\(need)', not \(state?.description ?? "gone")")
                    }
                }
            }
        },
    ]

    static func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
        guard condition else { throw Failure(description: sentence()) }
    }

    private static func expectNoneLeft(_ kernel: Kernel) throws {
        let left = kernel.view.plugins().filter { $0.state != .stopped && !$0.state.isOutOfTheWay }
        try expect(left.isEmpty, "after the stop: \(left.map { "\($0.id) \($0.state)" }.joined(separator: ", "))")
    }

    private static func readPage(_ path: String) throws -> String {
        guard let file = fopen(path, "re") else { throw Failure(description: "there is no page '\(path)'") }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }
}

extension PluginState {
    /// Never ran, so there is nothing to stop.
    fileprivate var isOutOfTheWay: Bool {
        switch self {
        case .skipped, .blocked, .failed: !description.contains("did not stop")
        default: false
        }
    }
}
