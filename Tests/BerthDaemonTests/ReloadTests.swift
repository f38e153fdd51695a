import BerthBase
import Glibc
import Testing

/// SIGHUP: the file is read again, what can be applied is, the rest is named; nothing is stopped.
@Suite struct ReloadTests {
    let world: World
    init() throws { world = try World() }

    @Test func `what can be applied is, and what needs a restart is named`() async throws {
        try world.configure(["slow-stop.stop"], more: "[plugin.slow-stop.stop]\nseconds = 0")
        let daemon = try world.start("slow-daemon")
        _ = try await daemon.line(with: "berthd runs")
        try world.configure(
            ["slow-stop.stop", "content.local"],
            more: "[log]\nlevel = \"debug\"\nformat = \"json\"\n[plugin.slow-stop.stop]\nseconds = 1\ncolour = \"blue\""
        )
        daemon.signal(SIGHUP)
        let line = try await daemon.line(with: "configuration read again")
        #expect(
            line.hasSuffix(
                "configuration read again applied=\"plugin.slow-stop.stop.seconds, log.level\" "
                    + "needs_restart=\"enable, plugin.slow-stop.stop.colour, log.format\""))
        #expect(daemon.errors.contains("INFO new patience plugin=slow-stop.stop seconds=1"))
        #expect(!Folder.names(world.folder.path + "/root").contains("content.local"))
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
    }

    @Test func `a level that a reload changes reaches loggers that exist`() async throws {
        try world.configure(["chatter.box"])
        let daemon = try world.start("slow-daemon")
        _ = try await daemon.line(with: "berthd runs")
        try await Task.sleep(for: .milliseconds(100))
        #expect(!daemon.errors.contains("a word"))
        try world.configure(["chatter.box"], more: "[log.plugins]\n\"chatter.box\" = \"debug\"")
        daemon.signal(SIGHUP)
        let line = try await daemon.line(with: "a word")
        #expect(line.hasSuffix("DEBUG a word odd=\"two\\nlines \\\"quoted\\\"\" plugin=chatter.box"))
        try world.configure(["chatter.box"])
        daemon.signal(SIGHUP)
        _ = try await daemon.line(with: "configuration read again", count: 2)
        try await Task.sleep(for: .milliseconds(50))
        let count = daemon.lines.count
        try await Task.sleep(for: .milliseconds(100))
        #expect(daemon.lines.count == count)
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
    }

    @Test func `a plugin may refuse a value`() async throws {
        try world.configure(["slow-stop.stop"], more: "[plugin.slow-stop.stop]\nseconds = 0")
        let daemon = try world.start("slow-daemon")
        _ = try await daemon.line(with: "berthd runs")
        try world.configure(["slow-stop.stop"], more: "[plugin.slow-stop.stop]\nseconds = 5000")
        daemon.signal(SIGHUP)
        let line = try await daemon.line(with: "plugin refused a new value")
        #expect(line.hasSuffix("ERROR plugin refused a new value error=\"too long\" key=plugin.slow-stop.stop.seconds"))
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
    }

    @Test func `a broken file is told and changes nothing`() async throws {
        try world.configure()
        let daemon = try world.start()
        _ = try await daemon.line(with: "berthd runs")
        try world.folder.write("config.toml", "version = 1\nenable = [")
        daemon.signal(SIGHUP)
        let line = try await daemon.line(with: "configuration not applied")
        #expect(line.contains("ERROR configuration not applied error=\"\(world.config):2:11: a value is missing\""))
        #expect(kill(daemon.pid, 0) == 0)
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
    }
}
