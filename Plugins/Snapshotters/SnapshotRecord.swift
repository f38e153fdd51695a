package import BerthBase
internal import BerthServices

/// What the ledger says of one snapshot: the file `record` in its directory.
///
/// It is replaced by a rename, so it is whole or as before; a directory without one was never finished.
struct SnapshotRecord: Sendable {
    /// The name of its directory.
    var sequence: Int
    var info: SnapshotInfo
    /// Set when it is committed.
    var durability: SnapshotDurability?
    /// The space it takes, once it was measured after the commit.
    var usage: SnapshotUsage?
    /// It failed its check after another boot: nothing new may stand on it. Not stored; found again at each start.
    var isDamaged = false

    init(sequence: Int, info: SnapshotInfo) {
        self.sequence = sequence
        self.info = info
    }

    var encoded: [UInt8] {
        var fields: [String: JSONValue] = [
            "version": .number("1"), "key": .string(info.key.rawValue), "kind": .number(String(info.kind.rawValue)),
            "labels": .object(info.labels.mapValues { .string($0) }),
            "created_at": .number(String(info.createdAt.nanoseconds)),
            "updated_at": .number(String(info.updatedAt.nanoseconds)),
        ]
        if let parent = info.parent { fields["parent"] = .string(parent.rawValue) }
        switch durability {
        case .durable: fields["durable"] = .bool(true)
        case .unpacked(let boot): fields["unpacked_in_boot"] = .string(boot)
        case nil: break
        }
        if let usage {
            fields["usage"] = .array([.number(String(usage.inodes)), .number(String(usage.size))])
        }
        return JSONValue.object(fields).encoded() + [0x0a]
    }

    /// - Throws: `dataLoss` for bytes that are no record.
    init(sequence: Int, decoding bytes: [UInt8]) throws {
        let json = try JSONValue(parsing: bytes)
        guard json["version"]?.integer == 1, let key = json["key"]?.string,
            let kind = json["kind"]?.integer.flatMap({ BerthServices.SnapshotKind(rawValue: Int($0)) }),
            let created = json["created_at"]?.integer, let updated = json["updated_at"]?.integer
        else { throw BerthError(.dataLoss, "read the record of snapshot directory \(sequence): a field is missing") }
        self.sequence = sequence
        info = SnapshotInfo(
            key: SnapshotKey(key), parent: json["parent"]?.string.map { SnapshotKey($0) }, kind: kind,
            labels: json["labels"]?.object?.compactMapValues(\.string) ?? [:],
            createdAt: Timestamp(nanoseconds: created), updatedAt: Timestamp(nanoseconds: updated))
        if json["durable"]?.bool == true { durability = .durable }
        if let boot = json["unpacked_in_boot"]?.string { durability = .unpacked(bootID: boot) }
        if let pair = json["usage"]?.array?.compactMap(\.integer), pair.count == 2 {
            usage = SnapshotUsage(inodes: pair[0], size: pair[1])
        }
    }
}

/// How one kind of snapshotter lays a snapshot out in its directory. Methods block.
package protocol SnapshotLayout: Sendable {
    /// Whether a snapshot that was prepared without a parent may get one on commit.
    var canRebase: Bool { get }
    /// Makes what a new snapshot needs in its empty directory; the layer itself goes into `fs`.
    func populate(_ directory: String, parent: String?) throws
    /// The mounts of a snapshot; `parents` are the directories below it, the nearest first.
    func mounts(_ directory: String, writable: Bool, parents: [String]) -> [Mount]
}
