internal import BerthBase

/// Cuts a stream of bytes into gRPC messages: a flag, four bytes of length, the message.
struct MessageDeframer {
    private let limit: Int
    private var prefix: [UInt8] = []
    private var message: [UInt8] = []
    /// Bytes that the message under way still needs; nil between messages.
    private var missing: Int?
    /// A peer that only claims a big message gets no big buffer.
    private static let firstReserve = 64 << 10

    init(limit: Int) { self.limit = limit }

    /// Whether the bytes so far end within a message.
    var isWithinMessage: Bool { missing != nil || !prefix.isEmpty }

    /// Takes bytes and calls `each` for every complete message.
    ///
    /// - Throws: `resourceExhausted` for a message over the limit, `internal` for a compressed one.
    mutating func feed(_ bytes: UnsafeRawBufferPointer, _ each: ([UInt8]) -> Void) throws(BerthError) {
        var rest = unsafe bytes
        while unsafe !rest.isEmpty {
            guard let missing else {
                try unsafe takePrefix(&rest, each)
                continue
            }
            let count = min(missing, rest.count)
            // SAFETY: `rest` lies within the caller's buffer, and `count` within `rest`.
            unsafe message.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<count]))
            unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            finish(missing - count, each)
        }
    }

    private mutating func takePrefix(_ rest: inout UnsafeRawBufferPointer, _ each: ([UInt8]) -> Void)
        throws(BerthError)
    {
        let count = min(5 - prefix.count, rest.count)
        // SAFETY: `count` lies within `rest`.
        unsafe prefix.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<count]))
        unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        guard prefix.count == 5 else { return }
        guard prefix[0] == 0 else {
            throw BerthError(
                .internal, "receive a message: it is marked as compressed, but no grpc-encoding was agreed on"
            )
        }
        let length = prefix[1...].reduce(0) { $0 << 8 | Int($1) }
        guard length <= limit else {
            throw BerthError(
                .resourceExhausted, "receive a message: \(length) bytes are more than the limit of \(limit)")
        }
        prefix.removeAll(keepingCapacity: true)
        message = []
        message.reserveCapacity(min(length, Self.firstReserve))
        missing = length
        if length == 0 { finish(0, each) }
    }

    private mutating func finish(_ left: Int, _ each: ([UInt8]) -> Void) {
        guard left == 0 else {
            missing = left
            return
        }
        missing = nil
        var whole: [UInt8] = []
        swap(&whole, &message)
        each(whole)
    }
}

/// Messages on their way out, framed while they are copied.
struct OutgoingMessages {
    private var queue: [[UInt8]] = []
    /// Where the first message is: within its five bytes of prefix, then within itself.
    private var offset = 0
    /// Bytes that wait, prefixes included.
    private(set) var bytes = 0
    static let prefixBytes = 5

    var isEmpty: Bool { queue.isEmpty }

    mutating func push(_ message: [UInt8]) {
        queue.append(message)
        bytes += Self.prefixBytes + message.count
    }

    mutating func removeAll() { self = OutgoingMessages() }

    /// Copies as much as there is room for; the number of bytes copied.
    mutating func fill(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        var filled = 0
        var done = 0
        while done < queue.count, filled < buffer.count {
            let message = queue[done]
            while offset < Self.prefixBytes, filled < buffer.count {
                // SAFETY: `filled` is less than the buffer's size.
                unsafe buffer[filled] = Self.prefix(message.count, offset)
                offset += 1
                filled += 1
            }
            guard offset >= Self.prefixBytes else { break }
            let start = offset - Self.prefixBytes
            let count = min(message.count - start, buffer.count - filled)
            unsafe message.withUnsafeBytes { source in
                guard count > 0, let from = source.baseAddress, let to = buffer.baseAddress else { return }
                // SAFETY: `count` bytes lie within both.
                unsafe (to + filled).copyMemory(from: from + start, byteCount: count)
            }
            offset += count
            filled += count
            guard offset == Self.prefixBytes + message.count else { break }
            offset = 0
            done += 1
        }
        queue.removeFirst(done)
        bytes -= filled
        return filled
    }

    private static func prefix(_ length: Int, _ index: Int) -> UInt8 {
        index == 0 ? 0 : UInt8(truncatingIfNeeded: length >> (8 * (4 - index)))
    }
}
