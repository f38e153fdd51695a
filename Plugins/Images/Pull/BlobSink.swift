internal import BerthBase
internal import BerthServices
internal import Synchronization

/// Takes a blob from a registry into the store: an ingest that later tries, and later pulls, go on with.
final class BlobSink: ResumableSink {
    private struct State {
        var writer: any ContentWriter
        var offset: Int64
        /// Bytes that an earlier pull left: they may have suffered from a power cut.
        var isInherited: Bool
    }

    private let content: any ContentStore
    private let descriptor: Descriptor
    private let ref: String
    private let what: String
    private let growth: BlobGrowth?
    private let moved: @Sendable (Int64) -> Void
    private let state: Mutex<State>

    /// Opens the ingest, or waits for the one who writes the same blob.
    ///
    /// - Returns: nil when the blob is in the store.
    static func open(
        _ descriptor: Descriptor, ref: String, in content: any ContentStore, what: String, growth: BlobGrowth? = nil,
        moved: @escaping @Sendable (Int64) -> Void = { _ in }
    ) async throws -> BlobSink? {
        do {
            let writer = try await content.writer(ref: ref, total: descriptor.size, expected: descriptor.digest)
            let offset = try await writer.status().offset
            let sink = BlobSink(writer, offset, descriptor, ref, content, what, growth, moved)
            if offset > descriptor.size { try await sink.restart() }
            growth?.begin(writer.growingFile, offset)
            moved(offset)
            return sink
        } catch let error as BerthError where error.code == .alreadyExists {
            return nil
        }
    }

    private init(
        _ writer: any ContentWriter, _ offset: Int64, _ descriptor: Descriptor, _ ref: String,
        _ content: any ContentStore, _ what: String, _ growth: BlobGrowth?, _ moved: @escaping @Sendable (Int64) -> Void
    ) {
        state = Mutex(State(writer: writer, offset: offset, isInherited: offset > 0))
        (self.descriptor, self.ref, self.content, self.what) = (descriptor, ref, content, what)
        (self.growth, self.moved) = (growth, moved)
    }

    var offset: Int64 { state.withLock { $0.offset } }
    var total: Int64 { descriptor.size }
    private var writer: any ContentWriter { state.withLock { $0.writer } }

    func begin(_ head: HTTPHead) throws {
        let offset = self.offset
        if head.status == 206 {
            let range = head.first("content-range") ?? ""
            guard let (start, size) = Self.parse(range), start == offset, size == nil || size == total else {
                throw BerthError(.dataLoss, "\(what): the server sent another range than was asked for")
            }
        } else {
            guard offset == 0 else { throw RangeIgnored() }
            guard let length = head.first("content-length").flatMap({ Int64($0) }), length != total else { return }
            throw BerthError(.dataLoss, "\(what): the server has \(length) bytes, the manifest says \(total)")
        }
    }

    /// Start and whole size of `bytes 5-9/10`.
    private static func parse(_ range: String) -> (start: Int64, size: Int64?)? {
        guard range.hasPrefix("bytes "), let dash = range.firstIndex(of: "-"), let slash = range.lastIndex(of: "/"),
            let start = Int64(range[..<dash].dropFirst(6))
        else { return nil }
        return (start, Int64(range[range.index(after: slash)...]))
    }

    func receive(_ bytes: UnsafeRawBufferPointer) throws {
        let (writer, end) = state.withLock { ($0.writer, $0.offset + Int64(bytes.count)) }
        guard end <= total else {
            throw BerthError(.dataLoss, "\(what): the server sends more than the \(total) bytes of the manifest")
        }
        try writer.writeBlocking(bytes)
        state.withLock { $0.offset = end }
        growth?.advance(to: end)
        moved(end)
    }

    func restart() async throws {
        try await writer.truncate(to: 0)
        state.withLock { state in
            state.offset = 0
            state.isInherited = false
        }
        growth?.restart()
    }

    func complete() async throws {
        do {
            _ = try await writer.commit(size: descriptor.size, expected: descriptor.digest)
        } catch let error as BerthError where error.code == .failedPrecondition {
            // The ingest was discarded: another server, or a try from the beginning, gets a new one.
            let wrong = BerthError(.dataLoss, "\(what): \(error.message)")
            let wasInherited = state.withLock { $0.isInherited }
            guard let fresh = try await reopened() else { return }
            state.withLock { $0 = State(writer: fresh, offset: 0, isInherited: false) }
            growth?.restart()
            growth?.begin(fresh.growingFile, 0)
            if wasInherited { throw TransientStatus(error: wrong, pause: nil) }
            throw wrong
        }
    }

    /// Nil if another pull stored the blob meanwhile.
    private func reopened() async throws -> (any ContentWriter)? {
        do {
            return try await content.writer(ref: ref, total: descriptor.size, expected: descriptor.digest)
        } catch let error as BerthError where error.code == .alreadyExists {
            return nil
        }
    }

    /// Ends writing; what is not committed stays for the next pull.
    func close() async { await writer.close() }

    /// Ends writing and drops what is there: it is of no use to anybody.
    func discard() async {
        await writer.close()
        try? await content.abort(ref: ref)
    }
}
