internal import BerthArchive
internal import BerthBase
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import Logging
internal import SystemPackage

/// The files of a snapshotter: `snapshots/N/{record,fs,…}`, `trash/N`, `quarantine/N`. All methods block.
struct SnapshotFolder: Sendable {
    let root: String

    func directory(_ sequence: Int) -> String { "\(root)/snapshots/\(sequence)" }

    /// What was found on disk at the start.
    struct Found {
        var records: [SnapshotKey: SnapshotRecord] = [:]
        var nextSequence = 1
    }

    /// Reads all records, and moves what was never finished to the trash.
    func load(_ logger: Logger) throws -> Found {
        for name in ["", "/snapshots", "/trash", "/quarantine"] { try makeDirectory(root + name, 0o700) }
        var found = Found()
        for place in ["snapshots", "trash", "quarantine"] {
            let names = try attempting("list '\(root)/\(place)'") { () throws(Errno) in
                try Files.names(in: "\(root)/\(place)")
            }
            for sequence in names.compactMap({ Int($0) }) { found.nextSequence = max(found.nextSequence, sequence + 1) }
            guard place == "snapshots" else { continue }
            for sequence in names.compactMap({ Int($0) }).sorted() {
                guard let record = try read(sequence, logger) else { continue }
                // A removal that a crash caught before its rename: the later snapshot of the key is the one.
                if let older = found.records.updateValue(record, forKey: record.info.key) {
                    try discard(older.sequence)
                }
            }
        }
        try discardOrphans(&found, logger)
        return found
    }

    /// nil if the directory holds no snapshot; then it is moved away.
    private func read(_ sequence: Int, _ logger: Logger) throws -> SnapshotRecord? {
        guard let bytes = try? Files.read(directory(sequence) + "/record", limit: 1 << 20), !bytes.isEmpty else {
            try discard(sequence)
            return nil
        }
        do {
            return try SnapshotRecord(sequence: sequence, decoding: bytes)
        } catch {
            logger.error(
                "a snapshot's record cannot be read: moved to quarantine",
                metadata: [
                    "snapshot": "\(sequence)", "error": "\(error)",
                ])
            try move(sequence, to: "quarantine")
            return nil
        }
    }

    /// A snapshot whose parent is gone (in quarantine) cannot be mounted any more.
    private func discardOrphans(_ found: inout Found, _ logger: Logger) throws {
        while let orphan = found.records.values.first(where: { record in
            record.info.parent.map { found.records[$0] == nil } ?? false
        }) {
            logger.error(
                "a snapshot's parent is missing: moved to quarantine",
                metadata: [
                    "snapshot": "\(orphan.info.key)", "parent": "\(orphan.info.parent?.rawValue ?? "")",
                ])
            found.records[orphan.info.key] = nil
            try move(orphan.sequence, to: "quarantine")
        }
    }

    func write(_ record: SnapshotRecord) throws {
        try attempting("write the record of snapshot '\(record.info.key)'") { () throws(Errno) in
            try Files.replace(directory(record.sequence) + "/record", with: record.encoded, mode: 0o600)
        }
    }

    /// Makes a new snapshot's directory; its record, written last, makes it count.
    func make(_ record: SnapshotRecord, _ layout: any SnapshotLayout, parent: String?) throws {
        let directory = directory(record.sequence)
        do {
            try makeDirectory(directory, 0o700)
            FaultPoint.hit("snapshotter.prepare.directory")
            try layout.populate(directory, parent: parent)
            FaultPoint.hit("snapshotter.prepare.populated")
            try write(record)
            FaultPoint.hit("snapshotter.prepare.recorded")
        } catch {
            removeTree(directory)
            throw error
        }
    }

    /// Takes a snapshot out of sight: this rename is what removes it, whatever happens to the files later.
    func discard(_ sequence: Int) throws { try move(sequence, to: "trash") }

    private func move(_ sequence: Int, to place: String) throws {
        let target = "\(root)/\(place)/\(sequence)"
        _ = try attempting("move snapshot directory \(sequence) to \(place)") { () throws(Errno) in
            try check(rename(directory(sequence), target))
        }
        FaultPoint.hit("snapshotter.remove.moved")
    }

    /// Deletes what is in the trash.
    func emptyTrash() throws {
        let names = try attempting("list '\(root)/trash'") { () throws(Errno) in try Files.names(in: root + "/trash") }
        let trash = try attempting("open '\(root)/trash'") { () throws(Errno) in
            try Files.open(root + "/trash", O_RDONLY | O_DIRECTORY)
        }
        for name in names {
            try attempting("delete '\(root)/trash/\(name)'") { () throws(Errno) in
                try TreeRemoval.remove(name, in: trash.rawValue)
            }
        }
    }

    /// Whether a layer is as its manifest says; nil without a manifest.
    func matchesManifest(_ sequence: Int) -> Bool? {
        let manifest = directory(sequence) + "/manifest"
        guard access(manifest, F_OK) == 0 else { return nil }
        return (try? LayerManifest.verify(manifest, against: directory(sequence) + "/fs")) ?? false
    }
}

/// Deletes a tree as far as it can be; what is left is swept at the next start.
func removeTree(_ path: String) {
    guard let slash = path.lastIndex(of: "/"),
        let parent = try? Files.open(String(path[..<slash]), O_RDONLY | O_DIRECTORY)
    else { return }
    try? TreeRemoval.remove(String(path[path.index(after: slash)...]), in: parent.rawValue)
}
