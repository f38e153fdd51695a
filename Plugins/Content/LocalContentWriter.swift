internal import BerthBase
internal import BerthServices
internal import SystemPackage

/// The public face of an ingest: every call runs on a disk thread, one at a time.
actor LocalContentWriter: ContentWriter {
    private let ingest: Ingest
    private let store: LocalContent
    private let ref: String
    private let expected: Digest?
    private var isOpen = true

    init(ingest: Ingest, store: LocalContent, ref: String, expected: Digest?) {
        self.ingest = ingest
        self.store = store
        self.ref = ref
        self.expected = expected
    }

    func status() async throws -> IngestStatus {
        let ingest = self.ingest
        return try await Blocking.run { ingest.status }
    }

    func write(_ bytes: [UInt8]) async throws {
        try check()
        let ingest = self.ingest
        try await Blocking.run { try bytes.withUnsafeBytes { try ingest.append($0) } }
    }

    nonisolated func writeBlocking(_ bytes: UnsafeRawBufferPointer) throws { try ingest.append(bytes) }

    nonisolated var growingFile: FilePath? { FilePath(ingest.dataPath) }

    func truncate(to offset: Int64) async throws {
        try check()
        let ingest = self.ingest
        try await Blocking.run { try ingest.truncate(to: offset) }
    }

    func commit(size: Int64?, expected: Digest?) async throws -> BlobInfo {
        try check()
        let ingest = self.ingest
        do {
            let info = try await Blocking.run { try ingest.commit(size: size, expected: expected) }
            await close()
            return info
        } catch {
            await close()
            throw error
        }
    }

    func close() async {
        guard isOpen else { return }
        isOpen = false
        let ingest = self.ingest
        try? await Blocking.run { ingest.close() }
        await store.closed(ref: ref, expected: expected)
    }

    private func check() throws {
        guard isOpen else { throw BerthError(.failedPrecondition, "ingest '\(ref)' is closed") }
    }
}
