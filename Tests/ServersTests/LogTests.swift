import BerthBase
import BerthTestSupport
import Glibc
import Testing

@testable import ServersPlugins

@Suite struct LogTests {
    private let time = "2026-11-24T19:00:00.000000001Z"

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private func write(_ text: String, to path: String, append: Bool = true) {
        let file = open(path, O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0o600)
        _ = bytes(text).withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
        close(file)
    }

    private func all(_ file: LogFile) throws -> String {
        var text: [UInt8] = []
        while true {
            let more = try file.read()
            if more.isEmpty { return String(decoding: text, as: UTF8.self) }
            text += more
        }
    }

    @Test func `a line has a time, a stream, a tag and a text that may hold anything`() throws {
        let line = try #require(LogLine(bytes("\(time) stderr F a  b ")[...]))
        #expect(line.isError && !line.isPartial)
        #expect(line.text == bytes("a  b "))
        #expect(try #require(LogLine(bytes("\(time) stdout P ")[...])).isPartial)
        #expect(try #require(LogLine(bytes("\(time) stdout P:x half")[...])).isPartial)
        for broken in ["", "\(time)", "\(time) stdout F", "\(time) other F x"] {
            #expect(LogLine(bytes(broken)[...]) == nil)
        }
    }

    @Test func `lines are found however the bytes come`() {
        let log = bytes("\(time) stdout F one\n\(time) stderr P tw\n\(time) stderr F o\n")
        for size in [1, 7, 64, 4096] {
            var parser = LogParser()
            var printer = LogPrinter(timestamps: false)
            var out: [Bool: [UInt8]] = [:]
            for start in stride(from: 0, to: log.count, by: size) {
                for piece in printer.pieces(of: parser.feed(Array(log[start..<min(start + size, log.count)]))) {
                    out[piece.isError, default: []] += piece.bytes
                }
            }
            #expect(out == [false: bytes("one\n"), true: bytes("two\n")], "\(size)")
        }
    }

    @Test func `the time stands before whole lines, once`() {
        var parser = LogParser()
        var printer = LogPrinter(timestamps: true)
        let lines = parser.feed(bytes("\(time) stdout P tw\n\(time) stdout F o\n\(time) stdout F x\n"))
        let pieces = printer.pieces(of: lines)
        #expect(pieces.count == 1)
        #expect(pieces.first?.bytes == bytes("\(time) two\n\(time) x\n"))
    }

    @Test func `a line without an end is not kept forever`() {
        var parser = LogParser()
        let start = bytes("\(time) stdout F ")
        #expect(parser.feed(start + [UInt8](repeating: 0x61, count: LogParser.maxLine)).count == 1)
        #expect(parser.feed(bytes("\n\(time) stdout F next\n")).map(\.text) == [bytes("next")])
    }

    @Test func `what is written later is read, across a rotation, nothing twice`() throws {
        let folder = try TemporaryFolder("berth-log")
        let path = folder.path + "/log"
        let file = LogFile(path: path)
        try file.start(lastLines: nil)
        #expect(try all(file) == "")
        write("one\n", to: path)
        #expect(try all(file) == "one\n")
        write("two\n", to: path)
        rename(path, path + ".1")
        write("three\n", to: path + ".1")
        #expect(try all(file) == "two\nthree\n")
        write("four\n", to: path)
        #expect(try all(file) == "four\n")
        write("5\n", to: path, append: false)
        #expect(try file.read() == [])
        #expect(try all(file) == "5\n")
    }

    @Test(arguments: [
        (0, ""), (1, "c\n"), (2, "bb\nc\n"), (3, "a\nbb\nc\n"), (10, "a\nbb\nc\n"),
    ])
    func `the last lines are whole ones, of several parts too`(_ count: Int, _ wanted: String) throws {
        let folder = try TemporaryFolder("berth-log")
        let path = folder.path + "/log"
        write("\(time) stdout F a\n\(time) stdout P b\n\(time) stdout F b\n\(time) stdout F c\n", to: path)
        let file = LogFile(path: path)
        try file.start(lastLines: count)
        var parser = LogParser()
        var printer = LogPrinter(timestamps: false)
        let pieces = printer.pieces(of: parser.feed(bytes(try all(file))))
        #expect(String(decoding: pieces.flatMap(\.bytes), as: UTF8.self) == wanted)
    }

    @Test func `the last lines of a long log are found without reading all of it`() throws {
        let folder = try TemporaryFolder("berth-log")
        let path = folder.path + "/log"
        write((0..<20_000).map { "\(time) stdout F line \($0)\n" }.joined(), to: path)
        let file = LogFile(path: path)
        try file.start(lastLines: 3000)
        let text = try all(file)
        #expect(text.split(separator: "\n").count == 3000)
        #expect(text.hasPrefix("\(time) stdout F line 17000\n"))
    }

    @Test func `a link is not followed`() throws {
        let folder = try TemporaryFolder("berth-log")
        symlink("/etc/passwd", folder.path + "/log")
        #expect(throws: BerthError.self) { try LogFile(path: folder.path + "/log").start(lastLines: nil) }
    }
}
