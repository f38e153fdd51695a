import BerthBase
import BerthOCI
import BerthRuntime
import BerthSystem
import Glibc
import SystemPackage
import Testing

/// One test for each published hole of other runtimes, by its number.
extension RuntimeTests { @Suite struct SecurityTests {} }

extension RuntimeTests.SecurityTests {
    /// A folder outside of every container, which nothing may change.
    private func outside(_ world: World) throws -> String {
        let folder = world.folder + "/outside"
        try Files.makeDirectories(folder, mode: 0o755)
        try Files.replace(folder + "/marker", with: Array("untouched".utf8), mode: 0o644)
        return folder
    }

    @Test func `CVE-2019-5736: what a container reaches as its runtime is sealed memory, no file of the host`() throws {
        let world = try World()
        let before = try Files.read(world.environment.initPath.string)
        let created = try world.create("true")
        let exe = try Files.open("/proc/\(created.process.pid)/exe", Files.pathOnly)
        #expect(try Files.status(of: exe.rawValue).inode != Files.status(world.environment.initPath.string).inode)
        let write = World.failure { _ = try Files.open("/proc/\(created.process.pid)/exe", O_WRONLY) }
        #expect(write.contains("busy") || write.contains("permitted"))
        #expect(ftruncate(exe.rawValue, 0) != 0)
        try created.container.delete(force: true)
        _ = try PidFD.reap(created.process.pidfd.rawValue)
        let outcome = try world.run("") { $0.process?.args = ["/proc/self/exe"] }
        #expect(outcome.status == 125)
        #expect(try Files.read(world.environment.initPath.string) == before)
    }

    @Test(arguments: ["/proc/self", "/proc/sys", "/proc/self/attr", "/proc/1/status", "//proc/./sys/../bus", "/proc"])
    func `CVE-2019-16884: nothing may be mounted in procfs`(_ destination: String) throws {
        let world = try World()
        let error = World.failure {
            _ = try world.run("true") {
                $0.mounts?.append(OCIMount(destination: destination, source: world.folder, options: ["bind"]))
            }
        }
        #expect(error.contains("may be mounted in /proc"))
    }

    @Test(arguments: ["proc", "sys", "dev"])
    func `CVE-2019-19921, 2023-27561, 2026-41579: no link is followed where the kernel's file systems go`(
        _ name: String
    ) throws {
        let world = try World()
        let outside = try outside(world)
        symlink(outside, world.rootfs + "/" + name)
        let mounted = World.failure { _ = try world.run("true") }
        #expect(mounted == "open mount target '/\(name)': ELOOP (stage mount)")
        if name == "dev" {
            let unmounted = World.failure {
                _ = try world.run("true") { $0.mounts?.removeAll { $0.destination.hasPrefix("/dev") } }
            }
            #expect(unmounted.hasSuffix("ELOOP (stage devices)"))
        }
        #expect(try Files.names(in: outside) == ["marker"])
    }

    @Test func `CVE-2023-28642: a bind on a link called proc is refused`() throws {
        let world = try World()
        symlink("vol", world.rootfs + "/proc")
        let error = World.failure {
            _ = try world.run("true") { spec in
                spec.mounts?.removeAll { $0.destination == "/proc" }
                spec.mounts?.append(OCIMount(destination: "/proc", source: "/proc", options: ["rbind"]))
            }
        }
        #expect(error.contains("ELOOP"))
    }

    @Test func `CVE-2021-30465, 2024-45310: mount targets are made and opened below the root only`() throws {
        let world = try World()
        let outside = try outside(world)
        symlink(outside, world.rootfs + "/link")
        symlink("../../../../../../..\(outside)/new", world.rootfs + "/dangling")
        let outcome = try world.run(
            "cat /link/deep/marker /link/file /dangling/marker; ls -d \(outside)/deep \(outside)/new"
        ) { spec in
            for target in ["/link/deep", "/dangling"] {
                spec.mounts?.append(OCIMount(destination: target, source: outside, options: ["bind"]))
            }
            spec.mounts?.append(OCIMount(destination: "/link/file", source: outside + "/marker", options: ["bind"]))
        }
        #expect(outcome.output == "untoucheduntoucheduntouched\(outside)/deep\n\(outside)/new\n")
        #expect(try Files.names(in: outside) == ["marker"])
    }

    @Test func `CVE-2021-43784: a value longer than a message can hold is an error`() throws {
        let world = try World()
        let long = "/" + String(repeating: "x", count: 70_000)
        let path = World.failure {
            _ = try world.run("true") { $0.linux?.namespaces?.append(OCINamespace(.user, path: long)) }
        }
        #expect(path.contains("70001 bytes"))
        let name = World.failure { _ = try world.run("true") { $0.hostname = String(repeating: "h", count: 70_000) } }
        #expect(name.hasSuffix("EINVAL (stage hostname)"))
        let nul = World.failure { _ = try world.run("true") { $0.process?.env = ["A=1\0B=2"] } }
        #expect(nul.contains("NUL"))
    }

    @Test func `CVE-2022-29162: more capabilities for an exec are not inheritable`() throws {
        let world = try World()
        try world.with { container in
            let outcome = try world.exec("grep -E 'Cap(Inh|Amb|Eff)' /proc/self/status", in: container) {
                $0.capabilities = .same(["CAP_SYS_PTRACE"])
            }
            #expect(
                outcome.output == "CapInh:\t0000000000000000\nCapEff:\t0000000000080000\nCapAmb:\t0000000000000000\n")
        }
    }

    @Test func `CVE-2024-21626: no working directory leads out through a descriptor`() throws {
        let world = try World()
        symlink("/proc/self/fd/7", world.rootfs + "/cwd")
        for path in (3...20).map({ "/proc/self/fd/\($0)" }) + ["/cwd"] {
            let error = World.failure { _ = try world.run("true") { $0.process?.cwd = path } }
            #expect(error != "no error", "\(path)")
        }
        try world.with { container in
            for path in (0...20).map({ "/proc/self/fd/\($0)" }) + ["/proc/1/fd/3", "/cwd"] {
                let error = World.failure { _ = try world.exec("pwd", in: container) { $0.cwd = path } }
                #expect(error.hasPrefix("chdir to cwd '\(path)'"), "\(path)")
            }
        }
        #expect(try world.run("ls /proc/self/fd").output == "0\n1\n2\n3\n")
    }

    @Test func `CVE-2025-31133: a false /dev/null in the image is no device and covers nothing`() throws {
        let world = try World()
        try Files.makeDirectories(world.rootfs + "/dev", mode: 0o755)
        symlink("/proc/sys/kernel/core_pattern", world.rootfs + "/dev/null")
        let error = World.failure {
            _ = try world.run("true") { $0.mounts?.removeAll { $0.destination.hasPrefix("/dev") } }
        }
        #expect(error == "make device '/dev/null': EEXIST (stage devices)")
        // With a /dev of its own the container's masks come from the host's null device all the same.
        let outcome = try world.run("stat -c %t:%T /proc/timer_list") { spec in
            spec.linux?.maskedPaths = ["/proc/timer_list"]
        }
        #expect(outcome.output == "1:3\n")
    }

    @Test func `CVE-2025-52565: a link in place of the console is refused`() throws {
        let world = try World()
        let outside = try outside(world)
        try Files.makeDirectories(world.rootfs + "/dev", mode: 0o755)
        symlink(outside + "/marker", world.rootfs + "/dev/console")
        var spec = world.spec("true")
        spec.process?.terminal = true
        spec.mounts?.removeAll { $0.destination == "/dev" }
        let request = world.request(spec, stdio: .terminal(nil))
        let error = World.failure { _ = try Container.run(request, in: world.environment) }
        #expect(error == "open '/dev/console': ELOOP (stage console)")
        #expect(try Files.text(outside + "/marker") == "untouched")
    }

    @Test func `CVE-2016-9962: an exec is not traceable and holds nothing of the host while it enters`() throws {
        let world = try World()
        try world.with(
            "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || ls -l $p/fd $p/root $p/cwd 2>/dev/null; done; done > /seen",
            { $0.process?.capabilities = .same(["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]) }
        ) { container in
            for _ in 0..<60 { try world.exec("true", in: container) }
            let seen = try Files.text(world.rootfs + "/seen")
            #expect(!seen.contains(world.folder))
            #expect(!seen.contains("-> /sys/fs/cgroup"))
        }
    }
}
