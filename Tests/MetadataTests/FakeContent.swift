import BerthBase
import BerthServices
import SystemPackage

/// Blobs without bytes.
final class FakeContent: ContentStore {
    struct State {
        var blobs: [Digest: BlobInfo] = [:]
        var ingests: [String: IngestStatus] = [:]
    }
    let state = Shared(State())

    func put(_ digest: Digest, size: Int64, age: Int64 = 0) {
        let time = Timestamp(nanoseconds: Timestamp.now().nanoseconds - age * 1_000_000_000)
        state.withLock { $0.blobs[digest] = BlobInfo(digest: digest, size: size, createdAt: time) }
    }

    func begin(_ ref: String, age: Int64) {
        let time = Timestamp(nanoseconds: Timestamp.now().nanoseconds - age * 1_000_000_000)
        state.withLock {
            $0.ingests[ref] = IngestStatus(
                ref: ref, offset: 10, total: 20, expected: nil, startedAt: time, updatedAt: time)
        }
    }

    var digests: [Digest] { state.withLock { $0.blobs.keys.sorted() } }

    func info(_ digest: Digest) async throws -> BlobInfo {
        guard let info = state.withLock({ $0.blobs[digest] }) else { throw BerthError(.notFound, "\(digest)") }
        return info
    }
    func read(_ digest: Digest, offset: Int64, count: Int) async throws -> [UInt8] { [] }
    func path(of digest: Digest) async throws -> FilePath { "/dev/null" }
    func writer(ref: String, total: Int64, expected: Digest?) async throws -> any ContentWriter {
        throw BerthError(.unimplemented, "a fake")
    }
    func ingests() async throws -> [IngestStatus] { state.withLock { Array($0.ingests.values) } }
    func abort(ref: String) async throws {
        guard state.withLock({ $0.ingests.removeValue(forKey: ref) }) != nil else { throw BerthError(.notFound, ref) }
    }
    func delete(_ digest: Digest) async throws { try deleteBlocking(digest) }
    func deleteBlocking(_ digest: Digest) throws {
        guard state.withLock({ $0.blobs.removeValue(forKey: digest) }) != nil else {
            throw BerthError(.notFound, "\(digest)")
        }
    }
    func list() async throws -> [BlobInfo] { state.withLock { $0.blobs.values.sorted { $0.digest < $1.digest } } }
}
