/// One frame of ttrpc. Source: ttrpc's PROTOCOL.md.
///
/// A header of ten bytes (length and stream ID as big-endian 32-bit numbers, type, flags), then the data. Streams of
/// clients have odd IDs that only grow.
package struct Frame: Sendable, Hashable {
    /// The bytes of a header.
    package static let headerLength = 10
    /// The most data of one frame, in bytes.
    package static let maxLength = 4 << 20

    /// What a frame is.
    package enum Kind: UInt8, Sendable, Hashable {
        /// Opens a stream; the data is a `ttrpc.Request`.
        case request = 1
        /// Ends a stream; the data is a `ttrpc.Response`.
        case response = 2
        /// A message of an open stream.
        case data = 3
    }

    /// The sender will send no more on this stream.
    package static let remoteClosed: UInt8 = 1
    /// The sender will send data frames after this request. Unary calls set neither flag.
    package static let remoteOpen: UInt8 = 2
    /// A data frame without a message.
    package static let noData: UInt8 = 4

    package var stream: UInt32
    package var kind: Kind
    package var flags: UInt8
    package var data: [UInt8]

    package init(stream: UInt32, kind: Kind, flags: UInt8 = 0, data: [UInt8]) {
        self.stream = stream
        self.kind = kind
        self.flags = flags
        self.data = data
    }

    /// The frame on the wire, or nil when its data is longer than a frame may be.
    package func encoded() -> [UInt8]? {
        guard data.count <= Self.maxLength else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerLength + data.count)
        bytes.append(bigEndian: UInt32(data.count))
        bytes.append(bigEndian: stream)
        bytes.append(kind.rawValue)
        bytes.append(flags)
        bytes += data
        return bytes
    }
}

extension [UInt8] {
    fileprivate mutating func append(bigEndian value: UInt32) {
        for shift in [UInt32(24), 16, 8, 0] { append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}
