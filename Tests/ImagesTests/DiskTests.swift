import BerthArchive
import BerthBase
import BerthServices
import BerthSystem
import Glibc
import Testing

/// A disk that is full.
@Suite(.serialized) struct DiskTests {
    /// A world whose root is a file system of its own, of a few megabytes.
    private func inSmallWorld(megabytes: Int, _ body: (World, String) async throws -> Void) async throws {
        var template = Array("/tmp/berth-images-disk-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BerthError(.internal, "mkdtemp") }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let disk = folder + "/disk"
        mkdir(disk, 0o700)
        guard mount("tmpfs", disk, "tmpfs", 0, "size=\(megabytes)m") == 0 else {
            throw BerthError(.internal, "mount a tmpfs: \(errno)")
        }
        do { try await inWorld(root: disk + "/root") { try await body($0, disk) } } catch {
            umount2(disk, Int32(MNT_DETACH))
            _ = try? run("rm", "-rf", folder)
            throw error
        }
        umount2(disk, Int32(MNT_DETACH))
        _ = try? run("rm", "-rf", folder)
    }

    private func fill(_ disk: String, leaving bytes: Int64) throws {
        var status = statvfs()
        statvfs(disk, &status)
        let free = Int64(status.f_bavail) * Int64(status.f_bsize)
        guard free > bytes else { return }
        _ = try run("fallocate", "-l", "\(free - bytes)", disk + "/filler")
    }

    /// - Parameter leaving: bytes free when the pull begins: too few for the blob, or enough for it and not for its files.
    @Test(arguments: [1_000_000, 6_000_000])
    func `a full disk fails the pull, leaves nothing, and the next one works`(_ leaving: Int64) async throws {
        try await inSmallWorld(megabytes: 48) { world, disk in
            let layout = try ImageLayout(world.folder + "/layout")
            var writer = TarWriter()
            writer.add(TarEntry(.file, "noise"), ImageLayout.noise(4_000_000))
            // Compresses to nothing, and is written out in full.
            writer.add(TarEntry(.file, "long"), [UInt8](repeating: 7, count: 8_000_000))
            try layout.finish(
                try layout.image([
                    try layout.layer(ImageLayout.files(["a": "one"])), try layout.layer(writer.finished()),
                ]))
            let registry = try await HostileRegistry(layout, in: world.folder)
            world.with { registry.end() }
            let services = try await world.start()
            try fill(disk, leaving: leaving)
            let error = await failure { _ = try await services.pull("\(registry.host)/x:1") }
            #expect(error?.code == .resourceExhausted, "\(error.map { "\($0)" } ?? "no error")")
            #expect(try await services.images.list(in: World.namespace) == [])
            #expect(try await services.leftovers().filter { !$0.hasPrefix("ingest") } == [])
            unlink(disk + "/filler")
            let image = try await services.pull("\(registry.host)/x:1")
            #expect(try await services.text("a", of: image) == "one")
            #expect(try await services.leftovers() == [])
        }
    }
}
