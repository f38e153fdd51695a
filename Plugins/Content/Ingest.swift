internal import BerthBase
internal import BerthDigest
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import Synchronization

/// A blob being written: `data` grows, a hash goes along, and a commit syncs and renames it. Blocks.
///
/// SAFETY: every call holds `turn`, so one thread at a time is in here.
final class Ingest: @unchecked Sendable {
    /// After this many bytes the kernel is asked to begin writing them, so that the sync at the end is short.
    private static let flushStep: Int64 = 16 << 20

    private let turn = Mutex(())
    private var flushed: Int64 = 0
    private let files: ContentFiles
    private let ref: String
    private let folder: String
    private let total: Int64
    private let expected: Digest?
    private var descriptor: Int32
    private var hash: ContentHash
    private var offset: Int64 = 0
    private let startedAt: Timestamp
    private var updatedAt: Timestamp

    /// Opens or resumes; the bytes of an earlier writer are hashed again.
    init(files: ContentFiles, ref: String, total: Int64, expected: Digest?) throws {
        self.files = files
        self.ref = ref
        folder = try files.folder(of: ref)
        if mkdir(folder, 0o700) != 0 && errno != EEXIST { throw files.failure("begin ingest '\(ref)'") }
        let before = try files.status(folder: folder, ref: ref)
        self.total = total > 0 ? total : before.total
        self.expected = expected ?? before.expected
        descriptor = open("\(folder)/data", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw files.failure("begin ingest '\(ref)'") }
        hash = try ContentHash(self.expected?.algorithm ?? .sha256)
        startedAt = before.offset > 0 ? before.startedAt : .now()
        updatedAt = .now()
        try note("total", "\(self.total)")
        if let known = self.expected { try note("expected", known.description) }
        try note("ref", ref)
        try rehash(upTo: before.offset)
    }

    private func note(_ name: String, _ text: String) throws {
        let file = open("\(folder)/\(name)", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw files.failure("describe ingest '\(ref)'") }
        defer { Glibc.close(file) }
        guard Glibc.write(file, text, text.utf8.count) == text.utf8.count else {
            throw files.failure("describe ingest '\(ref)'")
        }
    }

    private func rehash(upTo end: Int64) throws {
        hash = try ContentHash(expected?.algorithm ?? .sha256)
        offset = 0
        while offset < end {
            let chunk = [UInt8](unsafeUninitializedCapacity: Int(min(1 << 20, end - offset))) { buffer, count in
                count = max(0, pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset)))
            }
            if chunk.isEmpty { break }
            hash.update(chunk)
            offset += Int64(chunk.count)
        }
    }

    /// The file that grows.
    var dataPath: String { "\(folder)/data" }

    var status: IngestStatus {
        turn.withLock { _ in
            IngestStatus(
                ref: ref, offset: offset, total: total, expected: expected, startedAt: startedAt, updatedAt: updatedAt)
        }
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws { try turn.withLock { _ in try put(bytes) } }

    private func put(_ bytes: UnsafeRawBufferPointer) throws {
        try checkOpen()
        let end = offset + Int64(bytes.count)
        guard total == 0 || end <= total else {
            throw BerthError(.outOfRange, "ingest '\(ref)': \(end) bytes are more than the expected \(total)")
        }
        var sent = 0
        while sent < bytes.count {
            let count = pwrite(
                descriptor, bytes.baseAddress?.advanced(by: sent), bytes.count - sent, off_t(offset) + sent)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let error = files.failure("write ingest '\(ref)'")
                // What was written before the disk was full is not in the hash: cut it off, so that a retry resumes.
                ftruncate(descriptor, off_t(offset))
                throw error
            }
            sent += count
        }
        hash.update(bytes)
        offset = end
        updatedAt = .now()
        guard end - flushed >= Self.flushStep else { return }
        Files.startWriteback(of: descriptor, from: flushed, count: end - flushed)
        flushed = end
    }

    private func checkOpen() throws {
        guard descriptor >= 0 else { throw BerthError(.failedPrecondition, "ingest '\(ref)' is closed") }
    }

    func truncate(to end: Int64) throws { try turn.withLock { _ in try cut(to: end) } }

    private func cut(to end: Int64) throws {
        try checkOpen()
        guard end >= 0, end <= offset else {
            throw BerthError(.outOfRange, "truncate ingest '\(ref)' to \(end): it has \(offset) bytes")
        }
        guard ftruncate(descriptor, off_t(end)) == 0 else { throw files.failure("truncate ingest '\(ref)'") }
        try rehash(upTo: end)
    }

    func commit(size: Int64?, expected: Digest?) throws -> BlobInfo {
        try turn.withLock { _ in try finish(size: size, expected: expected) }
    }

    private func finish(size: Int64?, expected wanted: Digest?) throws -> BlobInfo {
        try checkOpen()
        let wanted = wanted ?? expected
        let actual = hash.digest()
        if let size, size != offset {
            try discard()
            throw BerthError(.failedPrecondition, "commit ingest '\(ref)': \(offset) bytes, not the expected \(size)")
        }
        if let wanted, wanted.algorithm == actual.algorithm, wanted != actual {
            try discard()
            throw BerthError(
                .failedPrecondition, "commit ingest '\(ref)': its digest is \(actual), not the expected \(wanted)")
        }
        if let wanted, wanted.algorithm != actual.algorithm {
            throw BerthError(
                .failedPrecondition,
                "commit ingest '\(ref)': begin it with the expected digest to use \(wanted.algorithm)")
        }
        guard fdatasync(descriptor) == 0 else { throw files.failure("sync ingest '\(ref)'") }
        FaultPoint.hit("content.before-rename")
        _ = fchmod(descriptor, 0o400)
        let target = files.path(of: actual)
        guard rename("\(folder)/data", target) == 0 else { throw files.failure("commit ingest '\(ref)'") }
        FaultPoint.hit("content.after-rename")
        try syncFolder(String(target[..<(target.lastIndex(of: "/") ?? target.endIndex)]))
        try files.removeIngest(folder)
        return try files.info(actual)
    }

    private func syncFolder(_ path: String) throws {
        let file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard file >= 0 else { throw files.failure("sync '\(path)'") }
        defer { Glibc.close(file) }
        guard fsync(file) == 0 else { throw files.failure("sync '\(path)'") }
    }

    private func discard() throws { try files.removeIngest(folder) }

    func close() {
        turn.withLock { _ in
            if descriptor >= 0 { Glibc.close(descriptor) }
            descriptor = -1
        }
    }

    deinit { close() }
}
