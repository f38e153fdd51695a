internal import BerthBase
package import BerthKernel
internal import BerthServices
internal import SystemPackage

extension Plugin {
    /// Blobs as files named by their digest.
    package static let localContent = Plugin("local", provides: .content, config: NoConfig.self) { context in
        let store = LocalContent(root: context.root)
        try await Blocking.run { try store.files.prepare() }
        return store
    }
}

/// Blobs below `blobs/<algorithm>/<hex>`, ingests below `ingest/<hash of the ref>/`.
actor LocalContent: ContentStore {
    nonisolated let files: ContentFiles
    /// Refs with an open writer.
    private var open: Set<String> = []
    /// One writer a digest; the others wait and then find the blob.
    private let digests = KeyedWaiters()

    init(root: FilePath) { files = ContentFiles(root: root.string) }

    func info(_ digest: Digest) async throws -> BlobInfo {
        let files = self.files
        return try await Blocking.run { try files.info(digest) }
    }

    func read(_ digest: Digest, offset: Int64, count: Int) async throws -> [UInt8] {
        let files = self.files
        return try await Blocking.run { try files.read(digest, offset: offset, count: count) }
    }

    func path(of digest: Digest) async throws -> FilePath {
        _ = try await info(digest)
        return FilePath(files.path(of: digest))
    }

    func writer(ref: String, total: Int64, expected: Digest?) async throws -> any ContentWriter {
        guard !ref.isEmpty, ref.utf8.count <= 1024 else {
            throw BerthError(.invalidArgument, "begin an ingest: a ref has 1 to 1024 bytes")
        }
        if let expected { try await digests.acquire(expected.description) }
        do {
            let files = self.files
            if let expected, (try? await Blocking.run { try files.info(expected) }) != nil {
                throw BerthError(.alreadyExists, "content \(expected) exists")
            }
            guard open.insert(ref).inserted else {
                throw BerthError(.unavailable, "ingest '\(ref)' has a writer; try again when it is done")
            }
            do {
                let ingest = try await Blocking.run {
                    try Ingest(files: files, ref: ref, total: total, expected: expected)
                }
                return LocalContentWriter(ingest: ingest, store: self, ref: ref, expected: expected)
            } catch {
                open.remove(ref)
                throw error
            }
        } catch {
            if let expected { await digests.release(expected.description) }
            throw error
        }
    }

    /// The writer of `ref` is done.
    func closed(ref: String, expected: Digest?) async {
        open.remove(ref)
        if let expected { await digests.release(expected.description) }
    }

    func ingests() async throws -> [IngestStatus] {
        let files = self.files
        return try await Blocking.run { try files.ingests() }
    }

    func abort(ref: String) async throws {
        guard !open.contains(ref) else {
            throw BerthError(.unavailable, "abort ingest '\(ref)': it has a writer")
        }
        let files = self.files
        try await Blocking.run { try files.abort(ref) }
    }

    func delete(_ digest: Digest) async throws {
        let files = self.files
        try await Blocking.run { try files.delete(digest) }
    }

    nonisolated func deleteBlocking(_ digest: Digest) throws { try files.delete(digest) }

    func list() async throws -> [BlobInfo] {
        let files = self.files
        return try await Blocking.run { try files.list() }
    }
}

/// Holders of names, each held by one at a time. A waiter whose task is cancelled leaves.
actor KeyedWaiters {
    private var waiting: [String: [(id: UInt64, continuation: CheckedContinuation<Void, any Error>)]] = [:]
    private var nextID: UInt64 = 0

    func acquire(_ key: String) async throws {
        try Task.checkCancellation()
        guard waiting[key] != nil else {
            waiting[key] = []
            return
        }
        nextID += 1
        let id = nextID
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    waiting[key, default: []].append((id, continuation))
                }
            }
        } onCancel: {
            Task { await self.leave(key, id) }
        }
    }

    private func leave(_ key: String, _ id: UInt64) {
        guard let index = waiting[key]?.firstIndex(where: { $0.id == id }) else { return }
        waiting[key]?.remove(at: index).continuation.resume(throwing: CancellationError())
    }

    func release(_ key: String) {
        guard var queue = waiting[key], !queue.isEmpty else {
            waiting[key] = nil
            return
        }
        let next = queue.removeFirst()
        waiting[key] = queue
        next.continuation.resume()
    }
}
