import BerthTTRPC
import Testing

@Suite struct FrameTests {
    func bytes(length: UInt32, stream: UInt32, kind: UInt8, flags: UInt8 = 0, data: [UInt8] = []) -> [UInt8] {
        func big(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) } }
        return big(length) + big(stream) + [kind, flags] + data
    }

    func drain(_ decoder: inout FrameDecoder) -> [FrameDecoder.Item] {
        var items: [FrameDecoder.Item] = []
        while let item = decoder.next() { items.append(item) }
        return items
    }

    @Test func `a frame is ten bytes of header in network order, then its data`() {
        let frame = Frame(stream: 0x0102_0304, kind: .response, flags: 1, data: [9, 8])
        #expect(frame.encoded() == [0, 0, 0, 2, 1, 2, 3, 4, 2, 1, 9, 8])
    }

    @Test func `frames come out whole, whatever the pieces they came in`() {
        let frames = [
            Frame(stream: 1, kind: .request, data: Array(repeating: 7, count: 300)),
            Frame(stream: 3, kind: .data, flags: Frame.noData | Frame.remoteClosed, data: []),
            Frame(stream: 1, kind: .response, data: [1]),
        ]
        let wire = frames.flatMap { $0.encoded() ?? [] }
        for size in [1, 2, 3, 9, 10, 11, 64, wire.count] {
            var decoder = FrameDecoder()
            var items: [FrameDecoder.Item] = []
            for start in stride(from: 0, to: wire.count, by: size) {
                decoder.append(Array(wire[start..<min(start + size, wire.count)]))
                items += drain(&decoder)
            }
            #expect(items == frames.map { .frame($0) }, "pieces of \(size)")
            #expect(decoder.held == 0)
        }
    }

    @Test func `a frame of exactly the limit passes and one byte more does not`() {
        let largest = Frame(stream: 1, kind: .data, data: Array(repeating: 1, count: Frame.maxLength))
        var decoder = FrameDecoder()
        decoder.append(largest.encoded() ?? [])
        #expect(decoder.next() == .frame(largest))
        let beyond = Frame(stream: 1, kind: .data, data: Array(repeating: 1, count: Frame.maxLength + 1))
        #expect(beyond.encoded() == nil)
    }

    @Test func `an oversized frame is reported, skipped unheld, and the next one is read`() {
        let length = UInt32(Frame.maxLength) + 100_000
        var decoder = FrameDecoder()
        decoder.append(bytes(length: length, stream: 5, kind: 1, data: [1, 2, 3]))
        #expect(decoder.next() == .oversized(stream: 5, length: length))
        var left = Int(length) - 3
        while left > 0 {
            let piece = min(left, 100_000)
            decoder.append(Array(repeating: 0xff, count: piece))
            #expect(decoder.next() == nil)
            #expect(decoder.held == 0)
            left -= piece
        }
        let after = Frame(stream: 7, kind: .request, data: [4])
        decoder.append(after.encoded() ?? [])
        #expect(drain(&decoder) == [.frame(after)])
    }

    @Test func `a frame of an unknown kind is skipped`() {
        let after = Frame(stream: 7, kind: .request, data: [4])
        var decoder = FrameDecoder()
        decoder.append(bytes(length: 3, stream: 2, kind: 9, data: [1, 2, 3]) + (after.encoded() ?? []))
        #expect(drain(&decoder) == [.unknown(stream: 2, kind: 9), .frame(after)])
    }

    @Test func `the longest length there is does not wrap around`() {
        var decoder = FrameDecoder()
        decoder.append(bytes(length: .max, stream: 1, kind: 1))
        #expect(decoder.next() == .oversized(stream: 1, length: .max))
        decoder.append(Array(repeating: 0, count: 65536))
        #expect(decoder.next() == nil)
        #expect(decoder.held == 0)
    }

    @Test func `random bytes never make it hold more than a frame`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var decoder = FrameDecoder()
            for _ in 0..<20 {
                decoder.append((0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255) })
                while decoder.next() != nil {}
                #expect(decoder.held <= Frame.maxLength + Frame.headerLength)
            }
        }
    }
}
