internal import BerthArchive
package import BerthBase
package import BerthServices
internal import BerthSystem
package import Logging
internal import SystemPackage

/// A snapshotter whose snapshots are directories of one file system; what is in them is the layout's business.
///
/// The ledger is the records in the directories, read once at the start and kept in memory. Intent never precedes
/// its record: a prepared snapshot counts from the rename of its record on, a removed one is gone with the rename
/// of its directory.
package actor DirectorySnapshotter: Snapshotter {
    let folder: SnapshotFolder
    let layout: any SnapshotLayout
    let bootID: String
    let logger: Logger
    private let waitsForRemoval: Bool
    var records: [SnapshotKey: SnapshotRecord]
    /// Snapshots that are being made, with their parents, which must stay meanwhile.
    private var pending: [SnapshotKey: SnapshotKey?] = [:]
    private var nextSequence: Int
    /// Order of commit, update and removal of one snapshot.
    private let lanes = KeyedLanes<SnapshotKey>()
    private var sweep: Task<Void, Never>?
    /// The flush that has not begun yet, and what it will make durable.
    private var nextFlush: Task<Void, any Error>?
    private var runningFlush: Task<Void, any Error>?
    private var unflushed: Set<SnapshotKey> = []

    /// Opens the snapshotter at a directory.
    ///
    /// - Parameter bootID: what tells this boot from others; the kernel's own by default.
    package init(
        at root: String, layout: any SnapshotLayout, waitsForRemoval: Bool = false, bootID: String? = nil,
        logger: Logger = Logger(label: "snapshotter")
    ) async throws {
        let folder = SnapshotFolder(root: root)
        let boot = bootID
        let (found, id) = try await Blocking.run {
            let id =
                try boot
                ?? attempting("read the boot ID") { () throws(Errno) in
                    try Files.text("/proc/sys/kernel/random/boot_id")
                }
            var found = try folder.load(logger)
            try DirectorySnapshotter.checkAfterBoot(id, &found, folder, logger)
            return (found, id)
        }
        (self.folder, self.layout, self.logger, self.bootID) = (folder, layout, logger, id)
        (records, nextSequence, self.waitsForRemoval) = (found.records, found.nextSequence, waitsForRemoval)
        startSweep()
    }

    /// Ends the background work.
    package func close() async { await sweep?.value }

    package nonisolated var canRebase: Bool { layout.canRebase }

    // MARK: Reading

    func record(_ key: SnapshotKey) throws -> SnapshotRecord {
        guard let record = records[key] else { throw BerthError(.notFound, "snapshot '\(key)' does not exist") }
        return record
    }

    package func stat(_ key: SnapshotKey) async throws -> SnapshotInfo { try record(key).info }

    package func list() async throws -> [SnapshotInfo] {
        records.values.map(\.info).sorted { $0.key < $1.key }
    }

    package func mounts(of key: SnapshotKey) async throws -> [Mount] {
        let record = try record(key)
        guard record.info.kind != .committed else {
            throw BerthError(.failedPrecondition, "mounts of snapshot '\(key)': it is committed; make a view of it")
        }
        return mounts(record)
    }

    /// The directories of a snapshot's parents, the nearest first.
    private func parents(of record: SnapshotRecord) -> [String] {
        var directories: [String] = []
        var next = record.info.parent
        while let key = next, let parent = records[key] {
            directories.append(folder.directory(parent.sequence))
            next = parent.info.parent
        }
        return directories
    }

    private func mounts(_ record: SnapshotRecord) -> [Mount] {
        layout.mounts(
            folder.directory(record.sequence), writable: record.info.kind == .active, parents: parents(of: record))
    }

    package func usage(of key: SnapshotKey) async throws -> SnapshotUsage {
        let record = try record(key)
        if let known = record.usage { return known }
        let path = folder.directory(record.sequence) + "/fs"
        let measured = try await Blocking.run { try TreeUsage.measure(path) }
        let usage = SnapshotUsage(inodes: measured.inodes, size: measured.bytes)
        // A committed layer does not change any more: measured once.
        if record.info.kind == .committed, records[key]?.sequence == record.sequence {
            records[key]?.usage = usage
        }
        return usage
    }

    // MARK: Making

    package func prepare(
        _ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]
    ) async throws -> [Mount] {
        try await make(key, parent: parent, kind: .active, labels)
    }

    package func view(_ key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]) async throws -> [Mount] {
        try await make(key, parent: parent, kind: .view, labels)
    }

    private func make(
        _ key: SnapshotKey, parent: SnapshotKey?, kind: BerthServices.SnapshotKind, _ labels: [String: String]
    ) async throws -> [Mount] {
        guard !key.rawValue.isEmpty else { throw BerthError(.invalidArgument, "make a snapshot: its key is empty") }
        guard records[key] == nil, pending[key] == nil else {
            throw BerthError(.alreadyExists, "make snapshot '\(key)': it exists")
        }
        let below = try parent.map { try usableParent($0, of: key) }
        let now = Timestamp.now()
        let record = SnapshotRecord(
            sequence: nextSequence,
            info: SnapshotInfo(key: key, parent: parent, kind: kind, labels: labels, createdAt: now, updatedAt: now))
        nextSequence += 1
        pending[key] = .some(parent)
        defer { pending[key] = nil }
        let (folder, layout) = (folder, layout)
        try await Blocking.run {
            try folder.make(record, layout, parent: below.map { folder.directory($0.sequence) })
        }
        records[key] = record
        return mounts(record)
    }

    private func usableParent(_ parent: SnapshotKey, of key: SnapshotKey) throws -> SnapshotRecord {
        guard let below = records[parent] else {
            throw BerthError(.notFound, "make snapshot '\(key)': its parent '\(parent)' does not exist")
        }
        guard below.info.kind == .committed else {
            throw BerthError(.invalidArgument, "make snapshot '\(key)': its parent '\(parent)' is not committed")
        }
        guard !below.isDamaged else {
            throw BerthError(
                .failedPrecondition,
                "make snapshot '\(key)': its parent '\(parent)' was damaged by a power cut; remove it and pull again")
        }
        return below
    }

    package func commit(
        _ name: SnapshotKey, from key: SnapshotKey, parent: SnapshotKey?, labels: [String: String]
    ) async throws {
        try await lanes.run(key) {
            var record = try record(key)
            guard record.info.kind == .active else {
                throw BerthError(.failedPrecondition, "commit snapshot '\(key)' as '\(name)': it is not active")
            }
            guard !name.rawValue.isEmpty else {
                throw BerthError(.invalidArgument, "commit snapshot '\(key)': no name")
            }
            guard records[name] == nil, pending[name] == nil else {
                throw BerthError(.alreadyExists, "commit snapshot '\(key)' as '\(name)': that exists")
            }
            if let parent, parent != record.info.parent { try rebase(&record, on: parent) }
            let now = Timestamp.now()
            record.info = SnapshotInfo(
                key: name, parent: record.info.parent, kind: .committed, labels: labels, createdAt: now, updatedAt: now)
            record.durability = .unpacked(bootID: bootID)
            pending[name] = .some(record.info.parent)
            defer { pending[name] = nil }
            try await write(record)
            records[key] = nil
            records[name] = record
        }
    }

    private func rebase(_ record: inout SnapshotRecord, on parent: SnapshotKey) throws {
        guard canRebase else {
            throw BerthError(.unimplemented, "commit snapshot '\(record.info.key)': it cannot be put on another parent")
        }
        guard record.info.parent == nil else {
            throw BerthError(
                .failedPrecondition, "commit snapshot '\(record.info.key)': it already stands on another parent")
        }
        _ = try usableParent(parent, of: record.info.key)
        record.info.parent = parent
    }

    private func write(_ record: SnapshotRecord) async throws {
        let folder = folder
        try await Blocking.run { try folder.write(record) }
    }

    package func update(
        _ key: SnapshotKey, labels: [String: String], fields: [String]
    ) async throws -> SnapshotInfo {
        try await lanes.run(key) {
            var record = try record(key)
            try record.info.apply(labels, fields)
            record.info.updatedAt = Timestamp.now()
            try await write(record)
            records[key] = record
            return record.info
        }
    }

    // MARK: Removing

    package func remove(_ key: SnapshotKey) async throws {
        try await lanes.run(key) {
            let record = try record(key)
            let children = records.values.count { $0.info.parent == key } + pending.values.count { $0 == key }
            guard children == 0 else {
                throw BerthError(.failedPrecondition, "remove snapshot '\(key)': \(children) snapshots stand on it")
            }
            // Out of memory first, so that nothing is prepared on it meanwhile.
            records[key] = nil
            let folder = folder
            do {
                try await Blocking.run { try folder.discard(record.sequence) }
            } catch {
                records[key] = record
                throw error
            }
        }
        if waitsForRemoval { try await cleanup() } else { startSweep() }
    }

    package func cleanup() async throws {
        await sweep?.value
        let folder = folder
        try await Blocking.run { try folder.emptyTrash() }
    }

    /// Deletes the trash in the background; one sweep at a time, and another if something came meanwhile.
    private func startSweep() {
        let (folder, logger, before) = (folder, logger, sweep)
        sweep = Task {
            await before?.value
            do { try await Blocking.run { try folder.emptyTrash() } } catch {
                logger.warning("the trash of removed snapshots cannot be emptied", metadata: ["error": "\(error)"])
            }
        }
    }
}

// MARK: - Durability

extension DirectorySnapshotter {
    package func durability(of name: SnapshotKey) async throws -> SnapshotDurability {
        guard let durability = try record(name).durability else {
            throw BerthError(.failedPrecondition, "durability of snapshot '\(name)': it is not committed")
        }
        return durability
    }

    package func makeDurable(_ name: SnapshotKey) async throws {
        if case .durable = try await durability(of: name) { return }
        unflushed.insert(name)
        let flush =
            nextFlush
            ?? Task { [runningFlush] in
                // While one flush runs, all that ask wait for one next flush together.
                _ = await runningFlush?.result
                try await self.flush()
            }
        nextFlush = flush
        try await flush.value
    }

    private func flush() async throws {
        let names = unflushed
        unflushed = []
        (runningFlush, nextFlush) = (nextFlush, nil)
        let folder = folder
        try await Blocking.run { try TreeUsage.flushFileSystem(of: folder.root) }
        for name in names {
            try await lanes.run(name) {
                guard var record = records[name] else { return }
                record.durability = .durable
                try await write(record)
                records[name] = record
            }
        }
        // The records themselves.
        try await Blocking.run { try TreeUsage.flushFileSystem(of: folder.root) }
    }

    /// Compares a committed layer with the manifest that was written while it was unpacked.
    ///
    /// - Throws: `notFound`; `failedPrecondition` for one without a manifest.
    package func verify(_ name: SnapshotKey) async throws -> Bool {
        let (folder, sequence) = (folder, try record(name).sequence)
        guard let matches = await (try Blocking.run { folder.matchesManifest(sequence) }) else {
            throw BerthError(.failedPrecondition, "verify snapshot '\(name)': it has no manifest")
        }
        return matches
    }

    /// After another boot: what was not durable is checked. What is whole is durable now, because it was read from
    /// the disk; what is not is removed, so that it is pulled again, or marked if something stands on it.
    static func checkAfterBoot(
        _ bootID: String, _ found: inout SnapshotFolder.Found, _ folder: SnapshotFolder, _ logger: Logger
    ) throws {
        for record in found.records.values {
            guard case .unpacked(let boot) = record.durability, boot != bootID,
                let whole = folder.matchesManifest(record.sequence)
            else { continue }
            let key = record.info.key
            if whole {
                found.records[key]?.durability = .durable
                if let checked = found.records[key] { try folder.write(checked) }
            } else {
                logger.warning("a layer was damaged by a power cut", metadata: ["snapshot": "\(key)"])
                found.records[key]?.isDamaged = true
            }
        }
        while let damaged = found.records.values.first(where: { record in
            record.isDamaged && !found.records.values.contains { $0.info.parent == record.info.key }
        }) {
            found.records[damaged.info.key] = nil
            try folder.discard(damaged.sequence)
        }
    }
}

extension SnapshotInfo {
    /// Replaces all labels, or those that the field paths name.
    mutating func apply(_ labels: [String: String], _ fields: [String]) throws {
        guard !fields.isEmpty else {
            self.labels = labels
            return
        }
        for field in fields {
            if field == "labels" {
                self.labels = labels
            } else if field.hasPrefix("labels."), field.count > 7 {
                let name = String(field.dropFirst(7))
                self.labels[name] = labels[name]
            } else {
                throw BerthError(.invalidArgument, "update snapshot '\(key)': field '\(field)' cannot be changed")
            }
        }
    }
}
