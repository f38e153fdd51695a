import BerthBase
import Glibc
import Testing

@Suite struct LogTests {
    let world: World
    init() throws { world = try World() }

    @Test func `JSON logs are one object a line`() async throws {
        try world.configure(["chatter.box"], more: "[log]\nformat = \"json\"\nlevel = \"debug\"")
        let daemon = try world.start("slow-daemon")
        _ = try await daemon.line(with: "a word")
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
        let objects = try daemon.lines.map { try JSONValue(parsing: Array($0.utf8)) }
        #expect(objects.allSatisfy { $0["time"]?.string?.hasSuffix("Z") == true && $0["msg"]?.string != nil })
        let word = objects.first { $0["msg"]?.string == "a word" }
        #expect(word?["level"]?.string == "debug")
        #expect(word?["plugin"]?.string == "chatter.box")
        #expect(word?["odd"]?.string == "two\nlines \"quoted\"")
        let start = objects.first { $0["msg"]?.string == "berthd runs" }
        #expect(start?["pid"]?.string == "\(daemon.pid)")
    }

    @Test func `levels are per plugin`() async throws {
        try world.configure(
            ["chatter.box", "fails.now"], more: "[log]\nlevel = \"info\"\nplugins = { \"fails.now\" = \"debug\" }")
        let daemon = try world.start("slow-daemon")
        _ = try await daemon.line(with: "berthd runs")
        try await Task.sleep(for: .milliseconds(60))
        #expect(daemon.errors.contains("DEBUG about to fail plugin=fails.now"))
        #expect(daemon.errors.contains("NOTICE plugin skipped plugin=fails.now reason=\"it always does\""))
        #expect(!daemon.errors.contains("a word"))
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
    }
}
