import BerthBase
import BerthShimAPI
import BerthSystem
import Glibc
import Testing

@testable import BerthShim

@Suite(.serialized) struct LogTests {
    @Test(.enabled(if: geteuid() == 0, "mounting needs root"))
    func `a full disk costs whole lines, which are counted, and never a wait`() throws {
        let world = try ShimWorld()
        let disk = world.folder + "/disk"
        try Files.makeDirectories(disk, mode: 0o755)
        let context = try FileSystemContext("tmpfs")
        try context.set("size", "16k")
        let mount = try context.mount()
        try Mounts.attach(mount.rawValue, to: disk)
        defer { try? Mounts.detach(disk) }
        var log = try LogFile(disk + "/log", marks: true)
        let line = Array((String(repeating: "x", count: 999) + "\n").utf8)
        for _ in 0..<20 { log.append(line, at: "T") }
        let full = try Files.read(disk + "/log")
        #expect(full.count % 1000 == 0)
        #expect(full.count >= 12_000)
        #expect(log.dropped == 20 - full.count / 1000)
        let lost = log.dropped
        truncate(disk + "/log", 0)
        log.append(Array("after\n".utf8), at: "T")
        #expect(log.dropped == 0)
        #expect(try Files.text(disk + "/log") == "T stderr F [berth: \(lost) log lines lost: ENOSPC]\nafter")
    }

    @Test func `exits go on counting after a restart, and deleted ones leave the file`() throws {
        let world = try ShimWorld()
        var journal = ExitJournal(folder: world.folder)
        var exit = ShimExit()
        (exit.containerID, exit.exitStatus) = ("a", 3)
        try journal.record(&exit, bundle: world.folder)
        var again = ExitJournal(folder: world.folder)
        exit.containerID = "b"
        try again.record(&exit, bundle: world.folder)
        #expect(exit.sequence == 2 && again.exits(after: 0).map(\.containerID) == ["a", "b"])
        #expect(again.exits(after: 1).map(\.containerID) == ["b"])
        again.forget(container: "a")
        #expect(again.exits(after: 0).map(\.containerID) == ["b"])
        exit.containerID = String(repeating: "c", count: 60)
        for _ in 0..<900 { try again.record(&exit, bundle: world.folder) }
        again.forget(container: exit.containerID)
        #expect(ExitRecord.parse(try Files.read(world.folder + "/exits")).map(\.containerID) == ["b"])
    }

    @Test func `events wait for a daemon that is away, up to their limit`() throws {
        let loop = try EventLoop()
        let publisher = EventPublisher(loop: loop, address: "/nonexistent/socket")
        for _ in 0..<(EventPublisher.maxQueuedEvents + 5) { publisher.publish(EnvelopeMessage()) }
        #expect(publisher.lost == 5 && !publisher.isIdle)
    }
}
