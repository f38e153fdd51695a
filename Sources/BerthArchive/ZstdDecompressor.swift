internal import BerthBase
internal import CZstd

/// Zstandard by libzstd, several frames in a row included. Source: RFC 8878.
final class ZstdDecompressor: Decompressor {
    /// The logarithm of the largest window that is accepted: 128 MiB, what `zstd` itself writes without `--ultra`.
    static let maxWindowLog: Int32 = 27

    private let stream: OpaquePointer
    private let piece: UnsafeMutableRawBufferPointer
    private var inside = true

    init() throws {
        guard let stream = ZSTD_createDStream() else {
            throw BerthError(.resourceExhausted, "decompress zstd: no memory")
        }
        self.stream = stream
        piece = .allocate(byteCount: 256 * 1024, alignment: 64)
        ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, Self.maxWindowLog)
    }

    deinit {
        ZSTD_freeDStream(stream)
        piece.deallocate()
    }

    func feed(_ input: UnsafeRawBufferPointer, _ output: (UnsafeRawBufferPointer) throws -> Void) throws {
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        while true {
            var target = ZSTD_outBuffer(dst: piece.baseAddress, size: piece.count, pos: 0)
            let result = ZSTD_decompressStream(stream, &target, &source)
            if ZSTD_isError(result) != 0 {
                let why = ZSTD_getErrorName(result).map { String(cString: $0) } ?? "error"
                throw BerthError(.dataLoss, "decompress zstd: the stream is corrupt: \(why)")
            }
            if target.pos > 0 { try output(UnsafeRawBufferPointer(rebasing: piece[..<target.pos])) }
            inside = result != 0
            if source.pos == source.size && target.pos < target.size { return }
        }
    }

    func finish() throws {
        guard !inside else { throw BerthError(.dataLoss, "decompress zstd: the stream is cut off") }
    }
}
