import BerthArchive
import BerthBase
import BerthSystem
import Glibc
import Testing

/// Layers that try to write outside their directory.
@Suite struct HostileLayerTests {
    @Test func `a path that leads upwards is refused`() throws {
        for name in ["../escaped", "a/../../escaped", "/../escaped", "a/.."] {
            let world = try World()
            #expect(code { try world.unpack(tar((TarEntry(.file, name), "x"))) } == .invalidArgument, "\(name)")
            #expect(world.isUntouched)
        }
    }

    @Test func `an absolute path stays inside`() throws {
        let world = try World()
        try world.unpack(tar((TarEntry(.file, world.path + "/outside/x"), "x")))
        #expect(world.isUntouched)
        #expect(world.text(String(world.path.dropFirst()) + "/outside/x") == "x")
    }

    @Test func `a link in the place of a visited directory leads nowhere outside`() throws {
        for form in [WhiteoutForm.overlay, .plain] {
            let world = try World()
            let archive = tar(
                (TarEntry(.directory, "d", mode: 0o755), ""), (TarEntry(.file, "d/x"), "x"),
                (TarEntry(.symlink, "d", mode: 0o777, link: world.path + "/outside"), ""),
                (TarEntry(.file, "d/marker"), "x"))
            _ = code { try world.unpack(archive, .none, form) }
            #expect(world.isUntouched)
        }
    }

    @Test func `a link upwards as a parent leads nowhere outside`() throws {
        for link in ["..", "../outside", "../../../../../../tmp", "/"] {
            let world = try World()
            let archive = tar(
                (TarEntry(.symlink, "l", mode: 0o777, link: link), ""), (TarEntry(.file, "l/marker"), "x"))
            _ = code { try world.unpack(archive) }
            #expect(world.isUntouched, "\(link)")
        }
    }

    @Test func `a member over a link replaces the link and not its target`() throws {
        for kind in [TarEntry.Kind.file, .fifo, .directory] {
            let world = try World()
            let archive = tar(
                (TarEntry(.symlink, "a", mode: 0o777, link: world.marker), ""), (TarEntry(kind, "a", mode: 0o4777), ""))
            try world.unpack(archive)
            #expect(world.isUntouched)
            #expect(world.status("a").map { $0.st_mode & S_IFMT != S_IFLNK } == true)
        }
    }

    @Test func `a hard link to the outside is refused`() throws {
        for target in ["../marker", "/../marker"] {
            let world = try World()
            let archive = tar((TarEntry(.hardLink, "h", mode: 0o4777, link: target), ""))
            #expect(code { try world.unpack(archive) } == .invalidArgument)
            #expect(world.isUntouched)
        }
    }

    @Test func `a hard link through a link does not change what the link names`() throws {
        let world = try World()
        let archive = tar(
            (TarEntry(.symlink, "a", mode: 0o777, link: world.marker), ""),
            (TarEntry(.hardLink, "b", mode: 0o4777, link: "a"), ""), (TarEntry(.file, "b", mode: 0o4777), "new"))
        try world.unpack(archive)
        #expect(world.isUntouched)
        #expect(world.text("b") == "new")
    }

    @Test func `a whiteout of the way upwards is refused`() throws {
        for form in [WhiteoutForm.overlay, .plain] {
            for name in [".wh...", "d/.wh...", ".wh..", ".wh."] {
                let world = try World()
                #expect(
                    code { try world.unpack(tar((TarEntry(.file, name), "")), .none, form) } == .invalidArgument,
                    "\(name)")
                #expect(world.isUntouched)
            }
        }
    }

    @Test func `a whiteout through a link removes nothing outside`() throws {
        let world = try World()
        try Files.replace(world.path + "/outside/keep", with: [1], mode: 0o600)
        let archive = tar(
            (TarEntry(.symlink, "l", mode: 0o777, link: "../outside"), ""), (TarEntry(.file, "l/.wh.keep"), ""),
            (TarEntry(.file, "l/.wh..wh..opq"), ""))
        _ = code { try world.unpack(archive, .none, .plain) }
        #expect(try Files.names(in: world.path + "/outside") == ["keep"])
    }

    @Test func `attributes of overlayfs itself are not taken from a layer`() throws {
        let world = try World()
        var entry = TarEntry(.directory, "d", mode: 0o755)
        entry.attributes = [
            .init(name: Array("trusted.overlay.redirect".utf8), value: Array("/etc".utf8)),
            .init(name: Array("user.fine".utf8), value: Array("v".utf8)),
        ]
        try world.unpack(tar((entry, "")))
        let dump = world.run("getfattr", "-d", "-m", "-", "--absolute-names", world.target + "/d").output
        #expect(!dump.contains("redirect"))
        #expect(dump.contains("user.fine=\"v\""))
    }

    @Test func `a path that is too deep or too long is refused`() throws {
        let world = try World()
        let deep = String(repeating: "d/", count: 600) + "f"
        #expect(code { try world.unpack(tar((TarEntry(.file, deep), "x"))) } == .invalidArgument)
        let long = String(repeating: "n", count: 256)
        #expect(code { try world.unpack(tar((TarEntry(.file, long), "x"))) } == .invalidArgument)
    }

    @Test func `a metadata header without limit is refused`() throws {
        let world = try World()
        var writer = TarWriter()
        writer.raw("x", name: [0x78], payload: [UInt8](repeating: 0x41, count: (1 << 20) + 1))
        #expect(code { try world.unpack(writer.finished()) } == .resourceExhausted)
        var names = TarWriter()
        names.raw("L", name: [0x78], payload: [UInt8](repeating: 0x41, count: (1 << 20) + 1))
        #expect(code { try world.unpack(names.finished()) } == .resourceExhausted)
    }

    @Test func `a sparse map without limit or out of bounds is refused`() throws {
        let world = try World()
        func sparse(_ map: String, size: String) -> [UInt8] {
            var writer = TarWriter()
            writer.raw(
                "x", name: [0x78],
                payload: TarWriter.encode([
                    ("GNU.sparse.map", Array(map.utf8)), ("GNU.sparse.size", Array(size.utf8)),
                    ("GNU.sparse.name", Array("s".utf8)),
                ]))
            writer.raw("0", name: [0x73], payload: Array("data".utf8))
            return writer.finished()
        }
        #expect(code { try world.unpack(sparse("0,4", size: "8")) } == nil)
        for map in ["0,4,2,4", "6,4", "9223372036854775807,4", "0,5", "4", "0,-4"] {
            #expect(code { try world.unpack(sparse(map, size: "8")) } == .dataLoss, "\(map)")
        }
    }
}
