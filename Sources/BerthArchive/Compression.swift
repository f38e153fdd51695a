internal import BerthBase

/// How the bytes of a layer are compressed.
package enum Compression: String, Sendable, CaseIterable {
    case none, gzip, zstd

    /// What a layer's media type says. Source: OCI image spec, "Layer media types"; docker's schema 2 types.
    ///
    /// - Throws: `unimplemented` for a type that is no layer known here.
    package init(mediaType: String) throws {
        let type = mediaType.split(separator: ";").first.map(String.init) ?? mediaType
        switch type {
        case "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar":
            self = .none
        case "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":
            self = .gzip
        case "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.zstd":
            self = .zstd
        default:
            throw BerthError(.unimplemented, "unpack a layer of media type '\(mediaType.prefix(160))': unknown type")
        }
    }

    /// The bytes a stream of this kind begins with; empty if anything may come.
    ///
    /// A Zstandard stream may also begin with a skippable frame, whose magic is a range.
    func matches(_ start: [UInt8]) -> Bool {
        switch self {
        case .none: true
        case .gzip: start.starts(with: [0x1f, 0x8b])
        case .zstd:
            start.starts(with: [0x28, 0xb5, 0x2f, 0xfd])
                || (start.count >= 4 && start[0] & 0xf0 == 0x50 && Array(start[1..<4]) == [0x2a, 0x4d, 0x18])
        }
    }

    /// A decompressor for one stream.
    package func decompressor() throws -> any Decompressor {
        switch self {
        case .none: PlainStream()
        case .gzip: Checked(self, GzipDecompressor())
        case .zstd: try Checked(self, ZstdDecompressor())
        }
    }
}

/// Turns compressed bytes into plain ones as they come. Used by one thread at a time.
package protocol Decompressor: AnyObject {
    /// Decompresses `input` whole; `output` is called with each piece, which is valid during the call only.
    ///
    /// - Throws: `dataLoss` for corrupt input, and what `output` throws.
    func feed(_ input: UnsafeRawBufferPointer, _ output: (UnsafeRawBufferPointer) throws -> Void) throws
    /// Says that no more input comes.
    ///
    /// - Throws: `dataLoss` if the stream has no end.
    func finish() throws
}

/// Bytes that are not compressed.
private final class PlainStream: Decompressor {
    func feed(_ input: UnsafeRawBufferPointer, _ output: (UnsafeRawBufferPointer) throws -> Void) throws {
        if !input.isEmpty { try output(input) }
    }
    func finish() throws {}
}

/// Checks the magic number before a decompressor sees the first byte.
private final class Checked: Decompressor {
    private let kind: Compression
    private let inner: any Decompressor
    private var start: [UInt8]? = []

    init(_ kind: Compression, _ inner: any Decompressor) {
        self.kind = kind
        self.inner = inner
    }

    func feed(_ input: UnsafeRawBufferPointer, _ output: (UnsafeRawBufferPointer) throws -> Void) throws {
        guard var seen = start else { return try inner.feed(input, output) }
        seen.append(contentsOf: input)
        guard seen.count >= 4 else {
            start = seen
            return
        }
        start = nil
        guard kind.matches(seen) else {
            throw BerthError(.dataLoss, "decompress a layer: its type says \(kind.rawValue), its first bytes do not")
        }
        try seen.withUnsafeBytes { try inner.feed($0, output) }
    }

    func finish() throws {
        guard start == nil else { throw BerthError(.dataLoss, "decompress a layer: the stream is empty or cut off") }
        try inner.finish()
    }
}
