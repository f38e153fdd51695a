import BerthBase
import BerthKernel
import BerthServices
import FoundationEssentials
import Glibc
import SystemPackage

/// Settings of `snapshotter.hello`: the table `[plugin.snapshotter.hello]`.
public struct HelloConfig: PluginConfig {
    var mountOptions: [String] = []
    public init() {}
    public static let keys = [ConfigKey("mount_options", "options added to every writable overlay mount")]
}

extension Plugin {
    /// `snapshotter.hello`.
    public static let hello = Plugin("hello", provides: .snapshotter, config: HelloConfig.self) { context in
        let snapshotter = try HelloSnapshotter(at: context.root.string, options: context.config.mountOptions)
        try await snapshotter.cleanup()
        return snapshotter
    }
}

/// Layers as overlayfs directories, known by a ledger in one JSON file.
public actor HelloSnapshotter: Snapshotter {
    private let root: String
    private let options: [String]
    private let files = FileManager.default
    private var ledger = SnapshotLedger()
    public nonisolated let canRebase = true
    // Files block, so the actor has a thread of its own.
    private let executor = BlockingExecutor("hello-snapshotter")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    public init(at root: String, options: [String] = []) throws {
        (self.root, self.options) = (root, options)
        guard let bytes = files.contents(atPath: "\(root)/ledger.json") else { return }
        ledger = try JSONDecoder().decode(SnapshotLedger.self, from: bytes)
    }

    /// The file is replaced before the change counts: a crash leaves the old ledger or the new one.
    @discardableResult
    private func change<T>(_ body: (inout SnapshotLedger) throws -> T) throws -> T {
        var copy = ledger
        let result = try body(&copy)
        try JSONEncoder().encode(copy).write(to: URL(filePath: "\(root)/ledger.json"), options: .atomic)
        ledger = copy
        return result
    }

    private func make(_ key: SnapshotKey, _ kind: SnapshotKind, _ parent: SnapshotKey?, _ labels: [String: String]) throws
        -> [Mount]
    {
        try change { ledger in
            let folder = try ledger.add(key, kind, parent: parent, labels: labels).folder
            for path in ["\(root)/\(folder)/fs", "\(root)/\(folder)/work"] {
                try files.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
            var status = Glibc.stat()
            if let above = try ledger.chain(from: parent).first, lstat("\(root)/\(above.folder)/fs", &status) == 0 {
                chown("\(root)/\(folder)/fs", status.st_uid, status.st_gid)
                chmod("\(root)/\(folder)/fs", status.st_mode & 0o7777)
            }
        }
        return try mounts(of: key)
    }

    public func prepare(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) throws -> [Mount] {
        try make(key, .active, parent, labels)
    }
    public func view(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) throws -> [Mount] {
        try make(key, .view, parent, labels)
    }

    public func mounts(of key: SnapshotKey) throws -> [Mount] {
        let entry = try ledger.entry(key), own = "\(root)/\(entry.folder)", isWritable = entry.info.kind == .active
        guard entry.info.kind != .committed else { throw BerthError(.failedPrecondition, "snapshot '\(key)' is committed") }
        let below = try ledger.chain(from: entry.info.parent).map { "\(root)/\($0.folder)/fs" }
        if below.isEmpty || (!isWritable && below.count == 1) {
            return [Mount(type: "bind", source: below.first ?? "\(own)/fs", options: [isWritable ? "rw" : "ro", "rbind"])]
        }
        let upper = isWritable ? ["upperdir=\(own)/fs", "workdir=\(own)/work"] + options : ["ro"]
        return [Mount(type: "overlay", source: "overlay", options: upper + ["lowerdir=\(below.joined(separator: ":"))"])]
    }

    public func commit(_ name: SnapshotKey, from key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) throws {
        try change { try $0.commit(name, from: key, parent: parent, labels: labels) }
    }
    public func remove(_ key: SnapshotKey) throws {
        try change { try $0.remove(key) }
        try cleanup()
    }
    public func update(_ key: SnapshotKey, labels: [String: String], fields: [String]) throws -> SnapshotInfo {
        try change { try $0.update(key, labels: labels, fields: fields) }
    }
    public func makeDurable(_ name: SnapshotKey) throws {
        sync()
        try change { try $0.setDurable(name) }
    }
    public func durability(of name: SnapshotKey) throws -> SnapshotDurability { try ledger.durability(of: name) }
    public func stat(_ key: SnapshotKey) throws -> SnapshotInfo { try ledger.entry(key).info }
    public func list() -> [SnapshotInfo] { ledger.infos }
    public func usage(of key: SnapshotKey) throws -> SnapshotUsage {
        try SnapshotUsage(measuring: "\(root)/\(ledger.entry(key).folder)/fs")
    }
    public func cleanup() throws {
        let known = ledger.folders.union(["ledger.json"])
        for name in try files.contentsOfDirectory(atPath: root) where !known.contains(name) {
            try files.removeItem(atPath: "\(root)/\(name)")
        }
    }
}
