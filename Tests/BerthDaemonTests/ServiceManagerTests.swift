import BerthBase
import Glibc
import Testing

/// What a service manager hears. Source: sd_notify(3), systemd.service(5).
@Suite struct ServiceManagerTests {
    let world: World
    init() throws { world = try World() }

    @Test(arguments: [false, true])
    func `ready, reloading and stopping are told`(_ abstract: Bool) async throws {
        try world.configure()
        let name =
            abstract ? "@berth-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))" : "\(world.folder.path)/notify"
        let manager = try NotifySocket(name)
        let daemon = try world.start(environment: ["NOTIFY_SOCKET=\(name)"])
        #expect(try await manager.next() == ["READY=1", "STATUS=6 of 6 plugins run"])
        daemon.signal(SIGHUP)
        let reloading = try await manager.next()
        #expect(reloading.first == "RELOADING=1")
        let microseconds = Int64(reloading.last?.split(separator: "=").last ?? "") ?? 0
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        #expect(abs(Int64(now.tv_sec) * 1_000_000 - microseconds) < 15_000_000)
        #expect(try await manager.next() == ["READY=1"])
        daemon.signal(SIGTERM)
        #expect(try await manager.next() == ["STOPPING=1"])
        #expect(try await daemon.end() == 0)
    }

    @Test func `the watchdog is fed at half its interval`() async throws {
        try world.configure()
        let name = "\(world.folder.path)/notify"
        let manager = try NotifySocket(name)
        let daemon = try world.start(environment: ["NOTIFY_SOCKET=\(name)", "WATCHDOG_USEC=200000"])
        _ = try await manager.next(with: "READY=1")
        let begin = ContinuousClock.now
        for _ in 0..<5 { #expect(try await manager.next() == ["WATCHDOG=1"]) }
        #expect(.now - begin < .seconds(30), "five at 100 ms, the first at once")
        daemon.signal(SIGTERM)
        _ = try await manager.next(with: "STOPPING=1")
        #expect(try await daemon.end() == 0)
    }

    @Test func `a watchdog that is meant for another process is not fed`() async throws {
        try world.configure()
        let name = "\(world.folder.path)/notify"
        let manager = try NotifySocket(name)
        let daemon = try world.start(
            environment: ["NOTIFY_SOCKET=\(name)", "WATCHDOG_USEC=20000", "WATCHDOG_PID=1"])
        _ = try await manager.next(with: "READY=1")
        try await Task.sleep(for: .milliseconds(200))
        daemon.signal(SIGTERM)
        #expect(try await manager.next() == ["STOPPING=1"])
        #expect(try await daemon.end() == 0)
    }

    @Test func `a daemon that cannot run says why`() async throws {
        try world.configure(["fails.now"], required: ["fails.now"])
        let name = "\(world.folder.path)/notify"
        let manager = try NotifySocket(name)
        let daemon = try world.start("slow-daemon", environment: ["NOTIFY_SOCKET=\(name)"])
        #expect(
            try await manager.next()
                == ["STATUS=a required plugin does not run: 'fails.now' is skipped (it always does)"])
        #expect(try await daemon.end() == 1)
    }
}
