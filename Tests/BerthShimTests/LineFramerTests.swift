import Testing

@testable import BerthShim

@Suite struct LineFramerTests {
    private func frame(_ pieces: [String], finishes: Bool = true) -> [String] {
        var framer = LineFramer(.stdout)
        var out: [UInt8] = []
        for piece in pieces { framer.take(Array(piece.utf8)[...], at: "T", into: &out) }
        if finishes { framer.finish(at: "T", into: &out) }
        return String(decoding: out, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    @Test func `a line comes out whole, whatever the pieces it came in`() {
        #expect(frame(["he", "llo\nwor", "ld\n"]) == ["T stdout F hello", "T stdout F world"])
    }

    @Test func `an empty line is a record`() {
        #expect(frame(["\n\na\n"]) == ["T stdout F ", "T stdout F ", "T stdout F a"])
    }

    @Test func `a line without an end is a part`() {
        #expect(frame(["a\nb"]) == ["T stdout F a", "T stdout P b"])
        #expect(frame(["a\nb"], finishes: false) == ["T stdout F a"])
    }

    @Test func `a line of the longest length is whole, one byte more is two records`() {
        let longest = String(repeating: "x", count: LineFramer.maxLineBytes)
        #expect(frame([longest + "\n"]) == ["T stdout F " + longest])
        #expect(frame([longest + "y\n"]) == ["T stdout P " + longest, "T stdout F y"])
        #expect(frame([longest, "y", "\n"]) == ["T stdout P " + longest, "T stdout F y"])
    }

    @Test func `it knows whether a line is half written`() {
        var framer = LineFramer(.stderr)
        var out: [UInt8] = []
        #expect(framer.isAtLineStart)
        framer.take(Array("a".utf8)[...], at: "T", into: &out)
        #expect(!framer.isAtLineStart)
        framer.take([UInt8](repeating: 0x61, count: LineFramer.maxLineBytes * 2)[...], at: "T", into: &out)
        #expect(!framer.isAtLineStart && framer.isMidLine)
        framer.take([0x0a], at: "T", into: &out)
        #expect(framer.isAtLineStart)
    }
}
