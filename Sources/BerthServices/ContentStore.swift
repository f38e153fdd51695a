public import BerthBase
public import BerthKernel
public import SystemPackage

/// A committed blob.
public struct BlobInfo: Sendable, Hashable {
    /// Its digest.
    public var digest: Digest
    /// Its bytes.
    public var size: Int64
    /// When it was committed.
    public var createdAt: Timestamp
    /// Makes an info.
    public init(digest: Digest, size: Int64, createdAt: Timestamp) {
        self.digest = digest
        self.size = size
        self.createdAt = createdAt
    }
}

/// A blob being written.
public struct IngestStatus: Sendable, Hashable {
    /// The caller's name for it.
    public var ref: String
    /// Bytes written so far; a writer resumes here.
    public var offset: Int64
    /// Bytes expected in all; 0: not known.
    public var total: Int64
    /// The digest expected, if known.
    public var expected: Digest?
    /// When the ingest began.
    public var startedAt: Timestamp
    /// When bytes last came.
    public var updatedAt: Timestamp
    /// Makes a status.
    public init(
        ref: String, offset: Int64, total: Int64, expected: Digest?, startedAt: Timestamp, updatedAt: Timestamp
    ) {
        self.ref = ref
        self.offset = offset
        self.total = total
        self.expected = expected
        self.startedAt = startedAt
        self.updatedAt = updatedAt
    }
}

/// Writes one blob. Not committed, it stays as an ingest, and a later writer of the same ref resumes it.
public protocol ContentWriter: Sendable {
    /// The state of the ingest.
    func status() async throws -> IngestStatus
    /// Appends bytes.
    /// - Throws: `outOfRange` past the expected size; `resourceExhausted` when the disk is full.
    func write(_ bytes: [UInt8]) async throws
    /// As `write`, on the calling thread, which must be one that may block: for data that arrives on such a thread.
    func writeBlocking(_ bytes: UnsafeRawBufferPointer) throws
    /// The file that grows, for readers that follow it while it is written; nil if the store has none.
    var growingFile: FilePath? { get }
    /// Cuts the ingest back to `offset` bytes.
    func truncate(to offset: Int64) async throws
    /// Checks size and digest, syncs, and makes the blob visible. Another writer having committed the same digest
    /// meanwhile is success. On a mismatch the ingest is discarded.
    /// - Throws: `failedPrecondition` for a wrong size or digest.
    func commit(size: Int64?, expected: Digest?) async throws -> BlobInfo
    /// Stops writing and keeps the ingest for later.
    func close() async
}

extension ContentWriter {
    /// None.
    public var growingFile: FilePath? { nil }
}

/// Blobs addressed by their digest, and the ingests that become blobs. Knows no namespaces and no labels: those are
/// rows of the metadata store.
public protocol ContentStore: Sendable {
    /// - Throws: `notFound`.
    func info(_ digest: Digest) async throws -> BlobInfo
    /// Reads up to `count` bytes from `offset`; fewer at the end.
    /// - Throws: `notFound`; `outOfRange` for an offset past the end.
    func read(_ digest: Digest, offset: Int64, count: Int) async throws -> [UInt8]
    /// The file that holds the blob, for readers that want a descriptor.
    /// - Throws: `notFound`.
    func path(of digest: Digest) async throws -> FilePath
    /// Opens or resumes the ingest `ref`. A second writer of a digest that is being written waits for the first
    /// one and then finds the blob.
    /// - Throws: `alreadyExists` when `expected` is already a blob; `unavailable` while `ref` has a writer.
    func writer(ref: String, total: Int64, expected: Digest?) async throws -> any ContentWriter
    /// All ingests.
    func ingests() async throws -> [IngestStatus]
    /// Drops an ingest.
    /// - Throws: `notFound`.
    func abort(ref: String) async throws
    /// Removes a blob.
    /// - Throws: `notFound`.
    func delete(_ digest: Digest) async throws
    /// Removes a blob at once, on the calling thread: for the collector, which must do it inside the transaction that
    /// has made sure that nothing refers to the blob.
    /// - Throws: `notFound`; `unimplemented` by stores that cannot, which are asked to `delete` after the transaction.
    func deleteBlocking(_ digest: Digest) throws
    /// All blobs.
    func list() async throws -> [BlobInfo]
}

extension ContentStore {
    /// A store that cannot.
    public func deleteBlocking(_ digest: Digest) throws {
        throw BerthError(.unimplemented, "delete content \(digest): not possible inside a transaction")
    }

    /// The whole blob, for manifests and configs.
    /// - Throws: `resourceExhausted` for a blob of more than `limit` bytes.
    public func readAll(_ digest: Digest, limit: Int = 8 << 20) async throws -> [UInt8] {
        let size = try await info(digest).size
        guard size <= limit else {
            throw BerthError(.resourceExhausted, "read \(digest): \(size) bytes are more than the limit of \(limit)")
        }
        return try await read(digest, offset: 0, count: Int(size))
    }
}

extension ServiceKey where Interface == any ContentStore {
    /// The blob store.
    public static var content: Self { Self("content") }
}
