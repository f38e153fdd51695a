/// A content digest, `algorithm:hex`; it can only be built from a well-formed one, so it is safe in a path.
///
/// Source: OCI image spec, "Digests". Algorithms: sha256 (64 hex digits) and sha512 (128), lower case.
public struct Digest: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The registered algorithms that Berth accepts.
    public enum Algorithm: String, Sendable, CaseIterable {
        case sha256, sha512
        /// The number of hex digits of a digest.
        public var hexLength: Int { self == .sha256 ? 64 : 128 }
    }

    /// The algorithm before the colon.
    public let algorithm: Algorithm
    /// The lower-case hex digits after the colon.
    public let hex: String

    /// - Throws: `invalidArgument` for an unknown algorithm, a wrong length, or digits that are not lower-case hex.
    public init(_ string: String) throws {
        let parts = string.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let algorithm = Algorithm(rawValue: String(parts[0])) else {
            throw BerthError(.invalidArgument, "digest '\(string.prefix(160))' is not sha256:… or sha512:…")
        }
        let digits = parts[1].utf8
        guard digits.count == algorithm.hexLength,
            digits.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else {
            throw BerthError(
                .invalidArgument,
                "digest '\(string.prefix(160))' must have \(algorithm.hexLength) lower-case hex digits")
        }
        self.algorithm = algorithm
        hex = String(parts[1])
    }

    /// Makes a digest from the raw bytes of a finished hash (32 for sha256, 64 for sha512).
    public init(algorithm: Algorithm, bytes: some Sequence<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        precondition(text.count == algorithm.hexLength, "a \(algorithm) hash has the wrong length")
        self.algorithm = algorithm
        hex = String(decoding: text, as: UTF8.self)
    }

    /// `algorithm:hex`.
    public var description: String { "\(algorithm.rawValue):\(hex)" }
    /// Orders by the text.
    public static func < (left: Self, right: Self) -> Bool { left.description < right.description }
}

extension Digest: Codable {
    /// Decodes and checks a plain string.
    public init(from decoder: any Decoder) throws { try self.init(String(from: decoder)) }
    /// Encodes as a plain string.
    public func encode(to encoder: any Encoder) throws { try description.encode(to: encoder) }
}
