/// Cuts a stream of bytes into frames, whatever the pieces they come in. Pure: no clock, no descriptors.
///
/// It holds at most one frame and the piece that was appended last.
package struct FrameDecoder: Sendable {
    /// What comes out.
    package enum Item: Sendable, Hashable {
        case frame(Frame)
        /// A frame that claimed more than `Frame.maxLength`. Its data is skipped as it arrives and never held; a server
        /// answers the stream with `resourceExhausted`.
        case oversized(stream: UInt32, length: UInt32)
        /// A frame of a kind nobody knows. It is skipped.
        case unknown(stream: UInt32, kind: UInt8)
    }

    private var buffer: [UInt8] = []
    private var at = 0
    /// Bytes of a skipped frame that have not arrived.
    private var toSkip: UInt64 = 0

    package init() {}

    /// The number of bytes held.
    package var held: Int { buffer.count - at }

    /// Takes what was read.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        let skipped = Int(min(toSkip, UInt64(bytes.count)))
        toSkip -= UInt64(skipped)
        guard skipped < bytes.count else { return }
        compact()
        buffer.append(contentsOf: bytes[skipped...])
    }

    /// Takes what was read.
    package mutating func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

    /// The next whole frame, or nil until more arrives.
    package mutating func next() -> Item? {
        guard held >= Frame.headerLength else { return nil }
        let length = number(at: 0)
        let stream = number(at: 4)
        let (kind, flags) = (buffer[at + 8], buffer[at + 9])
        guard length <= UInt32(Frame.maxLength) else {
            skipFrame(length)
            return .oversized(stream: stream, length: length)
        }
        guard let known = Frame.Kind(rawValue: kind) else {
            skipFrame(length)
            return .unknown(stream: stream, kind: kind)
        }
        let total = Frame.headerLength + Int(length)
        guard held >= total else { return nil }
        let data = Array(buffer[at + Frame.headerLength..<at + total])
        at += total
        return .frame(Frame(stream: stream, kind: known, flags: flags, data: data))
    }

    private mutating func skipFrame(_ length: UInt32) {
        let total = UInt64(Frame.headerLength) + UInt64(length)
        let here = Int(min(total, UInt64(held)))
        at += here
        toSkip = total - UInt64(here)
    }

    private func number(at offset: Int) -> UInt32 {
        buffer[at + offset..<at + offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Drops what was consumed. A large buffer is let go of once it is empty: an idle shim must stay small.
    private mutating func compact() {
        guard at > 0 else { return }
        if at == buffer.count {
            buffer.removeAll(keepingCapacity: buffer.capacity <= 65536)
        } else {
            buffer.removeFirst(at)
        }
        at = 0
    }
}
