import BerthArchive
import BerthBase
import BerthSystem
import Glibc
import Testing

/// Layers as images have them.
@Suite struct LayerTests {
    private func compress(_ world: World, _ archive: [UInt8], _ program: String) throws -> [UInt8] {
        try Files.replace(world.path + "/outside/raw", with: archive, mode: 0o600)
        let outcome = try ChildProcess.run(
            .init(
                "/usr/bin/env", [program, "-c", world.path + "/outside/raw"], environment: ["PATH=/usr/bin:/bin"],
                deadline: .seconds(30)))
        return outcome.output
    }

    private var sample: [UInt8] {
        var owned = TarEntry(.file, "etc/owned", mode: 0o4755)
        (owned.uid, owned.gid) = (1000, 70000)
        owned.modified = .init(seconds: 1_000_000_000, nanoseconds: 123_456_789)
        var device = TarEntry(.characterDevice, "dev/null", mode: 0o666)
        (device.deviceMajor, device.deviceMinor) = (1, 3)
        var etc = TarEntry(.directory, "etc/", mode: 0o750)
        etc.modified.seconds = 1_234_567_890
        let long = String(repeating: "long/", count: 40) + String(repeating: "n", count: 200)
        return tar(
            (TarEntry(.directory, "./", mode: 0o711), ""), (etc, ""), (owned, "owned"),
            (TarEntry(.file, "etc/empty"), ""),
            (TarEntry(.hardLink, "etc/hard", link: "etc/owned"), ""),
            (TarEntry(.symlink, "etc/soft", mode: 0o777, link: "../nowhere"), ""),
            (device, ""), (TarEntry(.fifo, "pipe", mode: 0o600), ""), (TarEntry(.file, long), "long"))
    }

    private func check(_ world: World) throws {
        let owned = try #require(world.status("etc/owned"))
        #expect(owned.st_mode == S_IFREG | 0o4755)
        #expect(owned.st_uid == 1000 && owned.st_gid == 70000 && owned.st_nlink == 2)
        #expect(owned.st_mtim.tv_sec == 1_000_000_000 && owned.st_mtim.tv_nsec == 123_456_789)
        #expect(world.text("etc/hard") == "owned")
        #expect(world.status("etc")?.st_mtim.tv_sec == 1_234_567_890)
        #expect(world.status("etc").map { $0.st_mode & 0o7777 } == 0o750)
        #expect(world.status("").map { $0.st_mode & 0o7777 } == 0o711)
        #expect(world.status("etc/soft").map { $0.st_mode & S_IFMT } == S_IFLNK)
        #expect(world.status("dev/null").map { $0.st_mode } == S_IFCHR | 0o666)
        #expect(world.status("dev/null").map { $0.st_rdev } == 0x103)
        #expect(world.status("pipe").map { $0.st_mode & S_IFMT } == S_IFIFO)
        #expect(world.text(String(repeating: "long/", count: 40) + String(repeating: "n", count: 200)) == "long")
        #expect(try LayerManifest.verify(world.manifest, against: world.target))
    }

    @Test func `a plain layer is written as it says`() throws {
        let world = try World()
        let result = try world.unpack(sample)
        try check(world)
        #expect(result.tarSize == Int64(sample.count) && result.entries == 9)
        try Files.replace(world.path + "/outside/raw", with: sample, mode: 0o600)
        #expect(world.run("sha256sum", world.path + "/outside/raw").output.hasPrefix(result.diffID.hex))
    }

    @Test func `gzip with several members, and zstd with several frames`() throws {
        for (compression, program) in [(Compression.gzip, "gzip"), (.zstd, "zstd")] {
            let world = try World()
            let (first, second) = (Array(sample.prefix(1300)), Array(sample.dropFirst(1300)))
            let blob = try compress(world, first, program) + compress(world, second, program)
            try world.unpack(blob, compression)
            try check(world)
        }
    }

    @Test func `a truncated, corrupt or mislabelled stream is data loss`() throws {
        let world = try World()
        for (compression, program) in [(Compression.gzip, "gzip"), (.zstd, "zstd")] {
            let blob = try compress(world, sample, program)
            for count in [0, 3, 20, blob.count / 2, blob.count - 1] {
                #expect(
                    code { try world.unpack(Array(blob.prefix(count)), compression) } == .dataLoss,
                    "\(program) \(count)")
            }
            var corrupt = blob
            corrupt[blob.count / 2] ^= 0xff
            corrupt[blob.count / 2 + 1] ^= 0xff
            #expect(code { try world.unpack(corrupt, compression) } == .dataLoss, "\(program)")
            #expect(code { try world.unpack(sample, compression) } == .dataLoss)
            #expect(code { try world.unpack(blob + [1, 2, 3], compression) } == .dataLoss)
        }
        for count in [700, 1600, 2100] { #expect(code { try world.unpack(Array(sample.prefix(count))) } == .dataLoss) }
    }

    @Test func `an archive of GNU tar with long names, sparse files and attributes is read`() throws {
        for format in [
            "gnu", "posix", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix --sparse-version=1.0",
        ] {
            let world = try World()
            let source = world.path + "/outside"
            let long = String(repeating: "x", count: 120)
            world.run(
                "sh", "-c",
                """
                cd \(source) && mkdir -p a/\(long) && echo deep > a/\(long)/\(long) && ln -s \(long)/\(long) a/l && \
                ln a/\(long)/\(long) a/h && truncate -s 3M a/s && \
                for i in 0 200 400 600 800 1000 1200; do printf "at$i" | dd of=a/s bs=1 seek=$((i*1024)) conv=notrunc status=none; done && \
                tar --format=\(format) -S -cf ../blob.tar a
                """)
            try world.unpack(Files.read(world.path + "/blob.tar"))
            #expect(
                world.run("diff", "-r", "--no-dereference", source + "/a", world.target + "/a").status == 0, "\(format)"
            )
            #expect(world.status("a/s").map { $0.st_blocks * 512 < $0.st_size / 2 } == true, "\(format)")
        }
    }

    @Test func `whiteouts become overlayfs' own, or remove`() throws {
        let archive = tar(
            (TarEntry(.directory, "d", mode: 0o755), ""), (TarEntry(.file, "d/.wh.gone"), ""),
            (TarEntry(.file, "d/mine"), "m"),
            (TarEntry(.file, "d/.wh.mine"), ""), (TarEntry(.directory, "o", mode: 0o755), ""),
            (TarEntry(.file, "o/new"), "n"),
            (TarEntry(.file, "o/.wh..wh..opq"), ""))
        let overlay = try World()
        try overlay.unpack(archive)
        #expect(overlay.status("d/gone").map { $0.st_mode & S_IFMT == S_IFCHR && $0.st_rdev == 0 } == true)
        #expect(overlay.text("d/mine") == "m")
        let dump = overlay.run(
            "getfattr", "-n", "trusted.overlay.opaque", "--only-values", "--absolute-names", overlay.target + "/o")
        #expect(dump.output == "y")

        let plain = try World()
        plain.run(
            "sh", "-c", "cd \(plain.target) && mkdir -p d/gone/x o/old/y && touch d/gone/x/f o/f o/old/y/f d/stays")
        try plain.unpack(archive, .none, .plain)
        #expect(try Files.names(in: plain.target + "/d").sorted() == ["mine", "stays"])
        #expect(try Files.names(in: plain.target + "/o") == ["new"])
    }

    @Test func `a directory the layer does not name takes owner and mode from below`() throws {
        let world = try World()
        world.run("sh", "-c", "cd \(world.path)/outside && mkdir -p top low/a/b && chown 5:6 low/a && chmod 2750 low/a")
        try world.unpack(
            tar((TarEntry(.file, "a/b/f"), "x")), lowers: [world.path + "/outside/top", world.path + "/outside/low"])
        let status = try #require(world.status("a"))
        #expect(status.st_uid == 5 && status.st_gid == 6 && status.st_mode & 0o7777 == 0o2750)
    }

    @Test func `a link of the layer's own is followed inside`() throws {
        let world = try World()
        let archive = tar(
            (TarEntry(.directory, "usr/bin", mode: 0o755), ""),
            (TarEntry(.symlink, "bin", mode: 0o777, link: "/usr/bin"), ""),
            (TarEntry(.file, "bin/tool"), "t"))
        try world.unpack(archive)
        #expect(world.text("usr/bin/tool") == "t")
    }

    @Test func `a changed file is found by the manifest`() throws {
        let world = try World()
        try world.unpack(sample)
        #expect(try LayerManifest.verify(world.manifest, against: world.target))
        world.run("sh", "-c", "printf OWNED > \(world.target)/etc/owned; chmod 4755 \(world.target)/etc/owned")
        #expect(try !LayerManifest.verify(world.manifest, against: world.target))
        world.run("truncate", "-s", "-10", world.manifest)
        #expect(try !LayerManifest.verify(world.manifest, against: world.target))
    }
}
