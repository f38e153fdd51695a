internal import BerthBase
internal import BerthDigest
internal import BerthSystem
internal import CBerthUnpack
internal import Dispatch
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Unpacks one layer with two threads: the caller reads, hashes and decompresses, a second one writes the files.
struct LayerPipeline {
    /// The size of a read of compressed bytes.
    static let readSize = 256 * 1024

    let compression: Compression
    let hashesInput: Bool
    var diffAlgorithm = Digest.Algorithm.sha256
    let maxSize: Int64
    let progress: (Int64) -> Void

    // SAFETY: the applier is made by one thread, used by the worker alone, and read again after the worker was joined.
    private final class Writing: @unchecked Sendable {
        var applier: LayerApplier
        var reader = TarReader()
        let ready = DispatchSemaphore(value: 0)
        var setUp: Int32 = 0
        init(_ applier: LayerApplier) { self.applier = applier }

        func run(_ queue: PieceQueue) {
            setUp = berth_own_working_directory()
            ready.signal()
            queue.consume { try reader.feed($0, to: &applier) }
            applier.abandon()
            guard queue.failure == nil else { return }
            do {
                try reader.finish()
                try applier.finish()
            } catch { queue.fail(error) }
        }
    }

    /// Runs the layer through.
    ///
    /// - Parameters:
    ///   - input: where the compressed bytes come from.
    ///   - confine: called when all threads run and before the first byte is read.
    func run(from input: Int32, into applier: LayerApplier, confine: () throws -> Void = {}) throws -> UnpackResult {
        let queue = PieceQueue()
        let writing = Writing(applier)
        guard let worker = Worker({ writing.run(queue) }) else {
            throw BerthError(.resourceExhausted, "unpack a layer: no thread")
        }
        writing.ready.wait()
        let outcome = Result {
            guard writing.setUp == 0 else {
                throw BerthError(Errno(rawValue: -writing.setUp), "unpack a layer: a working directory of its own")
            }
            try confine()
            return try pump(input, queue)
        }
        if case .failure(let error) = outcome { queue.fail(error) }
        queue.end()
        worker.join()
        if let failure = queue.failure { throw failure }
        var result = try outcome.get()
        result.entries = writing.applier.entries
        result.fileBytes = writing.applier.fileBytes
        result.skippedAttributes = writing.applier.skippedAttributes
        return result
    }

    private func pump(_ input: Int32, _ queue: PieceQueue) throws -> UnpackResult {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.readSize, alignment: 4096)
        defer { buffer.deallocate() }
        let decompressor = try compression.decompressor()
        let tar = try ContentHash(diffAlgorithm)
        let blob = hashesInput ? try ContentHash() : nil
        var result = UnpackResult(diffID: Digest(algorithm: .sha256, bytes: [UInt8](repeating: 0, count: 32)))
        while true {
            let count = try attempting("unpack a layer: read it") { () throws(Errno) in
                try retrying { read(input, buffer.baseAddress, buffer.count) }
            }
            if count == 0 { break }
            let piece = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            result.blobSize += Int64(count)
            blob?.update(piece)
            try decompressor.feed(piece) { plain in
                result.tarSize += Int64(plain.count)
                guard result.tarSize <= maxSize else {
                    throw BerthError(.resourceExhausted, "unpack a layer: it is larger than \(maxSize) bytes")
                }
                tar.update(plain)
                try queue.append(plain)
            }
            progress(result.tarSize)
        }
        try decompressor.finish()
        result.diffID = tar.digest()
        result.blobDigest = blob?.digest()
        return result
    }
}
