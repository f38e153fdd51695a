public import BerthBase
internal import Glibc

/// The rules of snapshots without their bytes: keys, parents, kinds, labels, durability.
///
/// A driver keeps one beside its layers and asks it before it touches a file; what the ledger throws is what
/// `Snapshotter` promises. It is a value: change a copy, write it down, then take it over.
public struct SnapshotLedger: Sendable, Codable {
    /// One snapshot, and the name of the folder that a driver may keep it in.
    public struct Entry: Sendable, Codable, Hashable {
        /// What is known of it.
        public internal(set) var info: SnapshotInfo
        /// A name that no other snapshot has or had.
        public let folder: String
        /// The boot in which it was committed.
        var bootID = ""
        /// Whether it was flushed since.
        var isDurable = false
    }

    private var entries: [String: Entry] = [:]
    private var made = 0

    /// An empty ledger.
    public init() {}

    /// All snapshots, ordered by key.
    public var infos: [SnapshotInfo] { entries.values.map(\.info).sorted { $0.key < $1.key } }
    /// The folders that belong to a snapshot; any other is left over.
    public var folders: Set<String> { Set(entries.values.map(\.folder)) }

    /// The snapshot of a key.
    ///
    /// - Throws: `notFound`.
    public func entry(_ key: SnapshotKey) throws -> Entry {
        guard let entry = entries[key.rawValue] else { throw BerthError(.notFound, "snapshot '\(key)' does not exist") }
        return entry
    }

    /// The committed snapshots that one stands on, the nearest first; none for nil.
    ///
    /// - Throws: `notFound`.
    public func chain(from top: SnapshotKey?) throws -> [Entry] {
        var chain: [Entry] = []
        var next = top
        while let key = next {
            let entry = try entry(key)
            chain.append(entry)
            next = entry.info.parent
        }
        return chain
    }

    /// Adds an active snapshot or a view.
    ///
    /// - Throws: `alreadyExists`; `notFound` for a missing parent; `invalidArgument` for one that is not committed.
    @discardableResult
    public mutating func add(
        _ key: SnapshotKey, _ kind: SnapshotKind, parent: SnapshotKey?, labels: [String: String]
    ) throws -> Entry {
        guard entries[key.rawValue] == nil else { throw BerthError(.alreadyExists, "snapshot '\(key)' exists") }
        try checkParent(parent)
        made += 1
        let now = Timestamp.now()
        let info = SnapshotInfo(key: key, parent: parent, kind: kind, labels: labels, createdAt: now, updatedAt: now)
        let entry = Entry(info: info, folder: "\(made)")
        entries[key.rawValue] = entry
        return entry
    }

    /// Turns an active snapshot into a committed one, on another parent if one is given.
    ///
    /// - Throws: `notFound`; `alreadyExists` for a taken name; `failedPrecondition` unless `key` is active.
    public mutating func commit(
        _ name: SnapshotKey, from key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]
    ) throws {
        var entry = try entry(key)
        guard entry.info.kind == .active else {
            throw BerthError(.failedPrecondition, "commit snapshot '\(key)': it is not active")
        }
        guard entries[name.rawValue] == nil else { throw BerthError(.alreadyExists, "snapshot '\(name)' exists") }
        try checkParent(parent)
        let now = Timestamp.now()
        entry.info = SnapshotInfo(
            key: name, parent: parent ?? entry.info.parent, kind: .committed, labels: labels, createdAt: now,
            updatedAt: now)
        entry.bootID = Self.currentBoot()
        entries[key.rawValue] = nil
        entries[name.rawValue] = entry
    }

    /// Takes a snapshot out.
    ///
    /// - Throws: `notFound`; `failedPrecondition` while others stand on it.
    @discardableResult
    public mutating func remove(_ key: SnapshotKey) throws -> Entry {
        let entry = try entry(key)
        let children = entries.values.count { $0.info.parent == key }
        guard children == 0 else {
            throw BerthError(.failedPrecondition, "remove snapshot '\(key)': \(children) others stand on it")
        }
        entries[key.rawValue] = nil
        return entry
    }

    /// Replaces all labels, or those that `labels.KEY` field paths name.
    ///
    /// - Throws: `notFound`; `invalidArgument` for another field.
    @discardableResult
    public mutating func update(
        _ key: SnapshotKey, labels: [String: String], fields: [String]
    ) throws -> SnapshotInfo {
        var entry = try entry(key)
        if fields.isEmpty { entry.info.labels = labels }
        for field in fields {
            guard field.hasPrefix("labels.") else {
                throw BerthError(.invalidArgument, "update snapshot '\(key)': field '\(field)' cannot be changed")
            }
            let name = String(field.dropFirst("labels.".count))
            entry.info.labels[name] = labels[name]
        }
        entry.info.updatedAt = .now()
        entries[key.rawValue] = entry
        return entry.info
    }

    /// Notes that a committed snapshot was flushed.
    ///
    /// - Throws: `notFound`; `failedPrecondition` unless it is committed.
    public mutating func setDurable(_ name: SnapshotKey) throws {
        _ = try durability(of: name)
        entries[name.rawValue]?.isDurable = true
    }

    /// How far a committed snapshot is safe from a power cut.
    ///
    /// - Throws: `notFound`; `failedPrecondition` unless it is committed.
    public func durability(of name: SnapshotKey) throws -> SnapshotDurability {
        let entry = try entry(name)
        guard entry.info.kind == .committed else {
            throw BerthError(.failedPrecondition, "durability of snapshot '\(name)': it is not committed")
        }
        return entry.isDurable ? .durable : .unpacked(bootID: entry.bootID)
    }

    private func checkParent(_ parent: SnapshotKey?) throws {
        guard let parent, try entry(parent).info.kind != .committed else { return }
        throw BerthError(.invalidArgument, "snapshot '\(parent)' is not committed and cannot be a parent")
    }

    /// The ID that the kernel made for this boot.
    private static func currentBoot() -> String {
        guard let file = fopen("/proc/sys/kernel/random/boot_id", "re") else { return "unknown" }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = fread(&buffer, 1, buffer.count, file)
        return String(decoding: buffer[..<count], as: UTF8.self).filter { !$0.isWhitespace }
    }
}
