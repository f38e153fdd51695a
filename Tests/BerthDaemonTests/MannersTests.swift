import BerthBase
import Glibc
import Testing

/// How the daemon behaves as a process.
@Suite struct MannersTests {
    let world: World
    init() throws { world = try World() }

    @Test func `one line tells that it runs and how long that took; SIGTERM stops it in order`() async throws {
        try world.configure()
        let daemon = try world.start()
        let line = try await daemon.line(with: "berthd runs")
        #expect(line.contains(" INFO berthd runs elapsed_ms="))
        #expect(line.contains(" pid=\(daemon.pid) plugins=6/6 root=\(world.folder.path)/root version="))
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
        #expect(
            daemon.lines.suffix(2).map { $0.split(separator: " ").dropFirst(2).joined(separator: " ") } == [
                "stopping signal=SIGTERM", "stopped",
            ])
    }

    @Test func `SIGINT stops it too`() async throws {
        try world.configure()
        let daemon = try world.start()
        _ = try await daemon.line(with: "berthd runs")
        daemon.signal(SIGINT)
        #expect(try await daemon.end() == 0)
    }

    @Test func `a second daemon on the same root is refused by name, the first goes on`() async throws {
        try world.configure()
        let first = try world.start()
        _ = try await first.line(with: "berthd runs")
        let second = try world.start()
        #expect(try await second.end() == 1)
        #expect(
            second.errors.contains(
                "another berthd, process \(first.pid), uses the root '\(world.folder.path)/root'; stop it"))
        let other = try Program(
            Build.program("berthd"), ["--config", world.config, "--root", world.folder.path + "/other"],
            in: world.folder)
        #expect(try await other.end() == 1)
        #expect(
            other.errors.contains("another berthd, process \(first.pid), uses the state '\(world.folder.path)/state'"))
        first.signal(SIGKILL)
        #expect(try await first.end() == 128 + SIGKILL)
        let third = try world.start()
        _ = try await third.line(with: "berthd runs")
        third.signal(SIGTERM)
        #expect(try await third.end() == 0)
    }

    @Test func `folders keep host users out, and wrong modes are corrected`() async throws {
        try world.configure()
        umask(0)
        for name in ["root", "root/content.local", "state", "state/content.local"] {
            mkdir("\(world.folder.path)/\(name)", 0o777)
            chmod("\(world.folder.path)/\(name)", 0o777)
        }
        let daemon = try world.start()
        _ = try await daemon.line(with: "berthd runs")
        #expect(world.folder.mode("root") == "700")
        #expect(world.folder.mode("state") == "711")
        for plugin in World.plugins {
            #expect(world.folder.mode("root/\(plugin)") == "700")
            #expect(["700", "711"].contains(world.folder.mode("state/\(plugin)")))
        }
        #expect(world.folder.mode("state/content.local") == "700")
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
    }

    @Test func `a root of another user is refused`() async throws {
        try world.configure()
        mkdir("\(world.folder.path)/root", 0o700)
        guard geteuid() == 0 else { return }
        chown("\(world.folder.path)/root", 12345, 12345)
        let daemon = try world.start()
        #expect(try await daemon.end() == 1)
        #expect(daemon.errors.contains("belongs to user 12345, who could change what is in it; give it to user 0"))
    }

    @Test func `a required plugin that cannot run ends the daemon with its reason`() async throws {
        try world.configure(["fails.now", "content.local"], required: ["fails.now"])
        let daemon = try world.start("slow-daemon")
        #expect(try await daemon.end() == 1)
        #expect(
            daemon.lines.last?.hasSuffix(
                "ERROR berthd cannot run error=\"a required plugin does not run: 'fails.now' is skipped (it always does)\""
            ) == true)
    }

    @Test func `SIGTERM while a plugin still starts stops what has started`() async throws {
        try world.configure(["content.local", "slow-start.start"])
        let daemon = try world.start("slow-daemon")
        for _ in 0..<500 where world.folder.mode("root/slow-start.start") == "none" {
            try await Task.sleep(for: .milliseconds(10))
        }
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
        #expect(daemon.errors.contains("stopped while starting"))
        #expect(!daemon.errors.contains("berthd runs"))
    }

    @Test func `a second SIGTERM does not wait for a plugin that dawdles`() async throws {
        try world.configure(["slow-stop.stop"])
        let daemon = try world.start("slow-daemon")
        _ = try await daemon.line(with: "berthd runs")
        daemon.signal(SIGTERM)
        _ = try await daemon.line(with: "stopping")
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 1)
        #expect(daemon.errors.contains("asked to stop a second time: not waiting for plugins"))
    }

    @Test func `a reader of its log that goes away does not end it`() async throws {
        try world.configure()
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let daemon = try world.start(standardError: ends[1])
        close(ends[1])
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 1, "it has written")
        close(ends[0])
        daemon.signal(SIGHUP)
        try await Task.sleep(for: .milliseconds(300))
        #expect(kill(daemon.pid, 0) == 0)
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
    }

    @Test func `the limit on open files is raised to the hard one`() async throws {
        try world.configure()
        let berthd = try Build.program("berthd")
        let daemon = try Program(
            "/bin/sh", ["-c", "ulimit -Sn 256; exec \(berthd) --config \(world.config)"], in: world.folder)
        _ = try await daemon.line(with: "berthd runs")
        let words =
            readText("/proc/\(daemon.pid)/limits").split(separator: "\n").first { $0.hasPrefix("Max open files") }?
            .split(separator: " ") ?? []
        #expect(words.count > 4 && words[3] == words[4] && words[3] != "256")
        daemon.signal(SIGTERM)
        #expect(try await daemon.end() == 0)
    }
}
