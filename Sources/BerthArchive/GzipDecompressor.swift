internal import BerthBase
internal import CDeflate

/// Gzip by Intel's igzip, several members in a row included. Source: RFC 1952.
///
/// The window is the state's own 32 KiB; the output buffer is made once.
final class GzipDecompressor: Decompressor {
    /// The size of the pieces that come out.
    static let pieceSize = 256 * 1024

    private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
    private let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: GzipDecompressor.pieceSize, alignment: 64)
    private enum Position { case between, inside, padding }
    private var position = Position.between
    private var members = 0

    init() {}

    deinit {
        state.deallocate()
        piece.deallocate()
    }

    private func beginMember() {
        isal_inflate_init(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
        position = .inside
        members += 1
    }

    func feed(_ input: UnsafeRawBufferPointer, _ output: (UnsafeRawBufferPointer) throws -> Void) throws {
        var rest = input[...]
        while !rest.isEmpty {
            switch position {
            case .padding:
                // Some writers fill the last block with zeros; anything else after the end is refused.
                guard rest.allSatisfy({ $0 == 0 }) else { throw corrupt("bytes after the end") }
                return
            case .between:
                if members > 0 && rest.first == 0 {
                    position = .padding
                    continue
                }
                beginMember()
            case .inside: break
            }
            let used = try inflate(UnsafeRawBufferPointer(rebasing: rest), output)
            rest = rest.dropFirst(used)
        }
    }

    /// Inflates until the input or the member ends; returns how much input was used.
    private func inflate(_ input: UnsafeRawBufferPointer, _ output: (UnsafeRawBufferPointer) throws -> Void) throws
        -> Int
    {
        let count = min(input.count, Int(Int32.max))
        state.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        state.pointee.avail_in = UInt32(count)
        while true {
            let before = state.pointee.avail_in
            state.pointee.next_out = piece.baseAddress?.assumingMemoryBound(to: UInt8.self)
            state.pointee.avail_out = UInt32(piece.count)
            let result = isal_inflate(state)
            let made = piece.count - Int(state.pointee.avail_out)
            if made > 0 { try output(UnsafeRawBufferPointer(rebasing: piece[..<made])) }
            guard result == ISAL_DECOMP_OK || result == ISAL_END_INPUT else { throw corrupt("igzip error \(result)") }
            if state.pointee.block_state == ISAL_BLOCK_FINISH {
                position = .between
                return count - Int(state.pointee.avail_in)
            }
            if state.pointee.avail_in == 0 && made < piece.count { return count }
            guard made > 0 || state.pointee.avail_in < before else { throw corrupt("it leads nowhere") }
        }
    }

    func finish() throws {
        guard position != .inside, members > 0 else { throw corrupt("it is cut off") }
    }

    private func corrupt(_ why: String) -> BerthError {
        BerthError(.dataLoss, "decompress gzip: the stream is corrupt: \(why)")
    }
}
