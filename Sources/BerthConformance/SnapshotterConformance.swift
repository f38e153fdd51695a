internal import BerthBase
public import BerthServices
internal import BerthSystem
internal import Glibc

/// What every snapshotter must do, as data: a list of cases that a plugin's author runs over the plugin.
///
/// ```swift
/// @Test(arguments: SnapshotterConformance.cases(for: [.mounts, .persistent]))
/// func `my snapshotter conforms`(_ test: SnapshotterConformance.Case) async throws {
///     try await test.run { directory in try await MySnapshotter(at: directory) }
/// }
/// ```
///
/// A case makes a directory of its own, opens a snapshotter there, and throws `SnapshotterConformance.Failure` with
/// a sentence that says what was expected. It removes the directory afterwards.
public enum SnapshotterConformance {
    /// What drivers may differ in: the author says what theirs does.
    public struct Traits: OptionSet, Sendable {
        /// The bits.
        public let rawValue: Int
        /// Makes a set of traits.
        public init(rawValue: Int) { self.rawValue = rawValue }
        /// Its mounts are `bind` and `overlay` mounts that this host can perform; needs root. A fake has none.
        public static let mounts = Traits(rawValue: 1)
        /// A snapshotter that is opened again at the same directory knows its snapshots.
        public static let persistent = Traits(rawValue: 2)
        /// A chain of 128 layers is practical: a layer costs no copy of those below.
        public static let deepChains = Traits(rawValue: 4)
    }

    /// What was expected and did not happen.
    public struct Failure: Error, CustomStringConvertible {
        /// The sentence.
        public let description: String
    }

    /// Opens a snapshotter at a directory; called again with the same directory for a restart.
    public typealias Opening = @Sendable (_ directory: String) async throws -> any Snapshotter

    /// One thing a snapshotter must do.
    public struct Case: Sendable, CustomStringConvertible {
        /// What it must do, as a sentence.
        public let name: String
        let needs: Traits
        let body: @Sendable (SnapshotterWorld) async throws -> Void

        init(_ name: String, needs: Traits = [], _ body: @escaping @Sendable (SnapshotterWorld) async throws -> Void) {
            self.name = name
            self.needs = needs
            self.body = body
        }

        /// The sentence.
        public var description: String { name }

        /// Runs the case.
        ///
        /// - Throws: `Failure` when the snapshotter does not do it, or an error of the snapshotter that no case
        /// expects.
        public func run(_ open: @escaping Opening) async throws {
            let world = try await SnapshotterWorld(open)
            do {
                try await body(world)
            } catch {
                await world.close()
                throw error
            }
            await world.close()
        }
    }

    /// All cases.
    public static let cases: [Case] = ledgerCases + changeCases + mountCases + concurrencyCases + restartCases

    /// The cases that apply to a driver with these traits.
    public static func cases(for traits: Traits) -> [Case] { cases.filter { traits.isSuperset(of: $0.needs) } }
}

/// What a case works on: a directory and the snapshotter in it.
final class SnapshotterWorld: Sendable {
    let directory: String
    let snapshotter: any Snapshotter
    private let open: SnapshotterConformance.Opening

    init(_ open: @escaping SnapshotterConformance.Opening) async throws {
        var template = Array("/tmp/berth-snapshotter-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BerthError(.internal, "make a directory for a conformance case") }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        self.open = open
        snapshotter = try await open(directory)
    }

    /// A second snapshotter at the same directory, as after a restart.
    func reopened() async throws -> any Snapshotter { try await open(directory) }

    func close() async {
        for info in (try? await snapshotter.list()) ?? [] where info.kind != .committed {
            try? await snapshotter.remove(info.key)
        }
        try? await snapshotter.cleanup()
        let (path, lane) = (directory, Blocking.ownDisk)
        _ = try? await Blocking.run(on: lane) {
            try ChildProcess.run(.init("/bin/rm", ["-rf", path], deadline: .seconds(60)))
        }
    }

    /// Commits an empty layer.
    @discardableResult
    func layer(_ name: SnapshotKey, on parent: SnapshotKey? = nil) async throws -> SnapshotKey {
        _ = try await snapshotter.prepare(Self.key(of: name), parent: parent, labels: [:])
        try await snapshotter.commit(name, from: Self.key(of: name), parent: nil, labels: [:])
        return name
    }

    /// Commits a layer that `body` writes through the mounts.
    func layer(
        _ name: SnapshotKey, on parent: SnapshotKey?, _ body: (borrowing MountedSnapshot) throws -> Void
    ) async throws {
        try body(MountedSnapshot(await snapshotter.prepare(Self.key(of: name), parent: parent, labels: [:])))
        try await snapshotter.commit(name, from: Self.key(of: name), parent: nil, labels: [:])
    }

    private static func key(of name: SnapshotKey) -> SnapshotKey { SnapshotKey("prepare-" + name.rawValue) }

    /// Looks at a committed snapshot through a view.
    func look<T>(at name: SnapshotKey, _ body: (borrowing MountedSnapshot) throws -> T) async throws -> T {
        let key = SnapshotKey("look-" + name.rawValue)
        let result = try body(MountedSnapshot(await snapshotter.view(key, parent: name, labels: [:])))
        try await snapshotter.remove(key)
        return result
    }
}

/// Fails unless the condition holds.
func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
    guard condition else { throw SnapshotterConformance.Failure(description: "expected that " + sentence()) }
}

/// Fails unless the body throws an error with this code.
func expect<T>(_ code: BerthError.Code, _ what: String, _ body: () async throws -> T) async throws {
    do {
        _ = try await body()
    } catch {
        let thrown = BerthError.wrapping(error)
        try expect(thrown.code == code, "\(what) throws \(code); it threw \(thrown.code): \(thrown)")
        return
    }
    throw SnapshotterConformance.Failure(description: "expected that \(what) throws \(code); it threw nothing")
}
