import BerthBase
import BerthTestSupport
import Glibc
import Testing

@testable import BerthStore

/// A small tmpfs of the test's own.
private final class SmallDisk {
    let world: World
    private let isMounted: Bool

    init(bytes: Int) throws {
        world = try World()
        isMounted = mount("tmpfs", world.folder.path, "tmpfs", 0, "size=\(bytes)") == 0
        guard isMounted else { throw BerthError(.permissionDenied, "mount a tmpfs") }
    }
    deinit { if isMounted { umount2(world.folder.path, Int32(MNT_DETACH)) } }
}

@Suite(.enabled(if: geteuid() == 0, "mounting a small tmpfs needs root"))
struct FullDiskTests {
    @Test func `a full disk is resourceExhausted, loses nothing, and writing goes on when there is room`() async throws
    {
        let disk = try SmallDisk(bytes: 2 << 20)
        let world = disk.world
        let database = try world.open()
        try await database.migrate("test", World.migrations)
        var written: [String] = []
        var refusal: BerthError?
        while refusal == nil, written.count < 1000 {
            let key = "key \(1000 + written.count)"
            do {
                try await database.insert(key, bytes: 8000)
                written.append(key)
            } catch { refusal = error as? BerthError }
        }
        #expect(refusal?.code == .resourceExhausted, "\(String(describing: refusal))")
        #expect(written.count > 20)
        #expect(try await database.keys() == written)
        let path = world.folder.path
        #expect(mount("", path, "", UInt(MS_REMOUNT), "size=\(8 << 20)") == 0)
        try await database.insert("room again", bytes: 8000)
        #expect(try await database.keys().count == written.count + 1)
        await database.close()
    }

    @Test func `on a full disk the small transactions of a batch succeed beside one that is too large`() async throws {
        let disk = try SmallDisk(bytes: 2 << 20)
        let database = try disk.world.open()
        try await database.migrate("test", World.migrations)
        try await database.insert("first")
        let outcomes = try await withThrowingTaskGroup(of: (String, Bool).self) { group in
            for key in ["a", "large", "b"] {
                group.addTask {
                    do {
                        try await database.insert(key, bytes: key == "large" ? 4 << 20 : 10)
                        return (key, true)
                    } catch { return (key, false) }
                }
            }
            return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        #expect(outcomes == ["a": true, "large": false, "b": true])
        #expect(try await database.keys() == ["a", "b", "first"])
        await database.close()
    }
}
