import BerthAPI
import BerthBase
import SwiftProtobuf
import Testing

@testable import berth

@Suite struct FormatTests {
    @Test func `columns are as wide as their widest cell`() {
        var table = Table("ID", "NAME", "SIZE")
        table.add("1", "a long name", "2 B")
        table.add("12", "b", "10 kB")
        #expect(table.text == "ID  NAME         SIZE\n1   a long name  2 B\n12  b            10 kB")
    }

    @Test(
        arguments: [
            (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1550, "1.6 kB"), (2_500_000, "2.5 MB"),
            (3_000_000_000, "3.0 GB"),
            (5_000_000_000_000, "5000.0 GB"),
        ] as [(Int64, String)])
    func `sizes are in powers of 1000`(_ bytes: Int64, _ text: String) { #expect(humanBytes(bytes) == text) }

    @Test(
        arguments: [
            (-5, "now"), (0, "now"), (1, "1 second ago"), (59, "59 seconds ago"), (60, "1 minute ago"),
            (7200, "2 hours ago"),
            (90000, "1 day ago"),
        ] as [(Int64, String)])
    func `ages are in one unit`(_ seconds: Int64, _ text: String) { #expect(humanAge(seconds) == text) }

    @Test func `JSON has the names of the proto file and numbers as numbers`() throws {
        var image = Berth_V1_Image()
        image.name = "busybox"
        image.size = 5_000_000_000
        image.createdAt = .init(seconds: 1, nanos: 0)
        #expect(try json(image) == #"{"name":"busybox","size":5000000000,"created_at":"1970-01-01T00:00:01Z"}"#)
    }

    @Test func `a failure says what, why and what to do`() {
        let plain = Failure(BerthError(.notFound, "image 'x' not found", cause: BerthError(.unavailable, "no route")))
        #expect(plain.text == "berth: image 'x' not found: no route")
        let id = String(repeating: "0123456789abcdef", count: 4)
        #expect(Failure(BerthError(.internal, "start '\(id)'")).text == "berth: start '0123456789ab'")
        #expect(Run.status(of: BerthError(.failedPrecondition, "execute 'x': ENOENT (stage exec)")) == 127)
        #expect(Run.status(of: BerthError(.failedPrecondition, "execute 'x': EACCES (stage exec)")) == 126)
        #expect(Run.status(of: BerthError(.notFound, "image 'x' not found")) == 125)
        let late = Failure(BerthError(.deadlineExceeded, "pull 'x': no progress"))
        #expect(late.text == "berth: pull 'x': no progress\n'berth ops' shows what is still under way")
    }
}

@Suite struct ProgressTests {
    private func progress(_ states: [(String, Int64)], stage: String = "fetching") -> Berth_V1_PullProgress {
        var progress = Berth_V1_PullProgress()
        progress.stage = stage
        progress.layers = states.enumerated().map { index, state in
            var layer = Berth_V1_LayerProgress()
            layer.digest = "sha256:" + String(repeating: "\(index)", count: 64)
            layer.state = state.0
            layer.offset = state.1
            layer.total = 1000
            return layer
        }
        return progress
    }

    @Test func `without a terminal each change of state is a line`() {
        var bars = ProgressBars(style: .lines)
        #expect(bars.text(for: progress([], stage: "resolving")) == "resolving\n")
        #expect(bars.text(for: progress([], stage: "resolving")) == "")
        #expect(bars.text(for: progress([("downloading", 1)])) == "000000000000: downloading (1.0 kB)\n")
        #expect(bars.text(for: progress([("downloading", 500)])) == "")
        #expect(bars.text(for: progress([("done", 1000)])) == "000000000000: done (1.0 kB)\n")
    }

    @Test func `on a terminal each layer is a bar that is drawn over and fits`() {
        var bars = ProgressBars(style: .bars(columns: 72, rows: 24))
        let first = bars.text(for: progress([("downloading", 500), ("waiting", 0)]))
        let lines = first.split(separator: "\n").map { $0.replacing("\r\u{1b}[K", with: "") }
        #expect(lines.count == 2)
        #expect(lines[0].hasPrefix("000000000000  downloading [=="))
        #expect(lines[0].hasSuffix("] 500 B of 1.0 kB"))
        #expect(lines.allSatisfy { $0.count < 72 })
        #expect(bars.text(for: progress([("done", 1000), ("done", 1000)])).hasPrefix("\u{1b}[2A"))
        #expect(bars.text(for: progress([])) == "")
    }

    @Test func `more layers than the terminal has rows are those that are not done`() {
        var bars = ProgressBars(style: .bars(columns: 80, rows: 5))
        let text = bars.text(
            for: progress(Array(repeating: ("done", 1000), count: 6) + [("downloading", 1), ("waiting", 0)]))
        #expect(text.split(separator: "\n").count == 2)
        #expect(!text.contains("done"))
    }

    @Test func `a hostile report does not break a bar`() {
        var bars = ProgressBars(style: .bars(columns: 20, rows: 5))
        for offset in [Int64.min, -1, 5000, .max] {
            #expect(!bars.text(for: progress([("downloading", offset)])).isEmpty)
        }
    }

    @Test func `quiet is quiet`() {
        var bars = ProgressBars(style: .none)
        #expect(bars.text(for: progress([("done", 1)])) == "")
    }
}
