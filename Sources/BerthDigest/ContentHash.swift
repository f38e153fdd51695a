package import BerthBase
internal import CCrypto

/// Hashes bytes as they come, by libcrypto: it uses the processor's SHA instructions.
///
/// SAFETY: the context belongs to this object; callers use it from one thread at a time.
@safe package final class ContentHash: @unchecked Sendable {
    private let context: OpaquePointer
    private let algorithm: Digest.Algorithm

    /// - Throws: `resourceExhausted` when libcrypto has no memory.
    package init(_ algorithm: Digest.Algorithm = .sha256) throws {
        let kind = unsafe algorithm == .sha256 ? EVP_sha256() : EVP_sha512()
        guard let context = unsafe EVP_MD_CTX_new(), unsafe EVP_DigestInit_ex(context, kind, nil) == 1 else {
            throw BerthError(.resourceExhausted, "begin a hash: libcrypto has no memory")
        }
        unsafe self.context = unsafe context
        self.algorithm = algorithm
    }

    deinit { unsafe EVP_MD_CTX_free(context) }

    /// Adds bytes.
    package func update(_ bytes: UnsafeRawBufferPointer) {
        unsafe EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    }

    /// Adds bytes.
    package func update(_ bytes: [UInt8]) { unsafe bytes.withUnsafeBytes { unsafe update($0) } }

    /// The digest of everything added; called once.
    package func digest() -> Digest {
        var bytes = [UInt8](repeating: 0, count: 64)
        var count: UInt32 = 0
        unsafe EVP_DigestFinal_ex(context, &bytes, &count)
        return Digest(algorithm: algorithm, bytes: bytes.prefix(Int(count)))
    }

    /// The digest of some bytes.
    package static func digest(of bytes: [UInt8]) throws -> Digest {
        let hash = try ContentHash()
        hash.update(bytes)
        return hash.digest()
    }
}
