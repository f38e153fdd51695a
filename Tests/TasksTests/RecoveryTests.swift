import BerthBase
import BerthServices
import BerthShimClient
import BerthSystem
import BerthTestSupport
import Glibc
import TasksPlugins
import Testing

extension TasksTests {
    /// What the daemon finds when it comes back, and what it does when a shim does not.
    @Suite struct Recovery {
        static var runtimes: [String] { Lifecycle.runtimes }

        /// The one shim of a world.
        func shim(of world: World) throws -> Int32 {
            let all = world.processes()
            try #require(all.count == 1, "\(all.count) shims")
            return all[0]
        }

        @Test(arguments: runtimes) func `a restart finds running, created and ended tasks`(runtime: String) async throws
        {
            let world = try await World()
            for (name, script) in [
                ("run", "sleep 100"), ("made", "sleep 100"), ("end", "exit 5"), ("later", "sleep 0.3; exit 6"),
            ] {
                _ = try await world.tasks.create(world.ref(name), world.request(name, script, runtime: runtime))
            }
            for name in ["run", "end", "later"] { _ = try await world.tasks.start(world.ref(name)) }
            let ended = try await world.tasks.wait(world.ref("end"))
            let pid = try await world.tasks.info(world.ref("run")).pid
            await world.stop()
            try await Task.sleep(for: .seconds(1))
            try await world.start()
            let tasks = try world.tasks
            #expect(try await tasks.info(world.ref("run")) == TaskInfo(state: .running, pid: pid, exit: nil))
            #expect(try await tasks.info(world.ref("made")).state == .created)
            let again = try await tasks.wait(world.ref("end"))
            #expect(again.code == 5)
            #expect(again.exitedAt == ended.exitedAt)
            let missed = try await tasks.wait(world.ref("later"))
            #expect(missed.code == 6)
            #expect(missed.exitedAt > ended.exitedAt)
            await tasks.recovered()
            var told: [ContainerID: UInt32] = [:]
            for await (ref, status) in await tasks.exits() {
                told[ref.container] = status.code
                if told.count == 2 { break }
            }
            #expect(told == ["end": 5, "later": 6])
            _ = try await tasks.start(world.ref("made"))
            for name in ["run", "made", "end", "later"] { _ = try await tasks.delete(world.ref(name), force: true) }
            try await world.finish()
        }

        @Test(arguments: runtimes) func `a shim that is killed takes its task with it, and the reason is told`(
            runtime: String
        ) async throws {
            let world = try await World()
            let tasks = try world.tasks
            let ref = world.ref("a")
            _ = try await tasks.create(ref, world.request("a", "sleep 100", runtime: runtime))
            let pid = try await tasks.start(ref).pid
            kill(try shim(of: world), SIGKILL)
            let exit = try await tasks.wait(ref)
            #expect(exit.code == 137)
            #expect(exit.lossReason.contains("its process ended"), "\(exit.lossReason)")
            for _ in 0..<2000 where kill(Int32(pid), 0) == 0 { try await Task.sleep(for: .milliseconds(10)) }
            #expect(kill(Int32(pid), 0) != 0, "the container goes on without its shim")
            #expect(await code { _ = try await tasks.pids(ref) } == .unavailable)
            _ = try await tasks.delete(ref, force: true)
            try await world.finish()
        }

        @Test(arguments: runtimes) func `a shim that died while the daemon was down is cleaned up after`(
            runtime: String
        ) async throws {
            let world = try await World()
            let ref = world.ref("a")
            _ = try await world.tasks.create(ref, world.request("a", "sleep 100", runtime: runtime))
            let pid = try await world.tasks.start(ref).pid
            await world.stop()
            kill(try shim(of: world), SIGKILL)
            try await Task.sleep(for: .milliseconds(100))
            try await world.start()
            let exit = try await world.tasks.wait(ref)
            #expect(exit.code == 137)
            #expect(!exit.lossReason.isEmpty)
            for _ in 0..<2000 where kill(Int32(pid), 0) == 0 { try await Task.sleep(for: .milliseconds(10)) }
            #expect(kill(Int32(pid), 0) != 0)
            _ = try await world.tasks.delete(ref, force: true)
            try await world.finish()
        }

        @Test func `an exit that our shim recorded before it was killed is the one that is told`() async throws {
            let world = try await World()
            let ref = world.ref("a")
            _ = try await world.tasks.create(ref, world.request("a", "exit 9", runtime: World.ownRuntime))
            _ = try await world.tasks.start(ref)
            let seen = try await world.tasks.wait(ref)
            await world.stop()
            kill(try shim(of: world), SIGKILL)
            try await world.start()
            let told = try await world.tasks.wait(ref)
            #expect(told.code == 9)
            #expect(told.exitedAt == seen.exitedAt)
            #expect(told.lossReason.isEmpty)
            _ = try await world.tasks.delete(ref, force: true)
            try await world.finish()
        }

        @Test func `a shim that hangs holds up nobody else and its task is unknown until it answers`() async throws {
            let world = try await World()
            for name in ["hung", "fine"] {
                _ = try await world.tasks.create(
                    world.ref(name), world.request(name, "sleep 100", runtime: World.ownRuntime))
                _ = try await world.tasks.start(world.ref(name))
            }
            let hung = try #require(
                try world.processes().first { pid in
                    let line = try Files.read("/proc/\(pid)/cmdline", limit: 65536)
                    return String(decoding: line, as: UTF8.self).contains("hung")
                })
            await world.stop()
            kill(hung, SIGSTOP)
            try await world.start()
            #expect(try await world.tasks.info(world.ref("fine")).state == .running)
            #expect(try await world.tasks.info(world.ref("hung")).state == .unknown)
            kill(hung, SIGCONT)
            #expect(try await world.tasks.info(world.ref("hung")).state == .running)
            for name in ["hung", "fine"] { _ = try await world.tasks.delete(world.ref(name), force: true) }
            try await world.finish()
        }

        @Test(arguments: runtimes) func `a start whose record was lost is adopted`(runtime: String) async throws {
            let world = try await World()
            let ref = world.ref("a")
            _ = try await world.tasks.create(ref, world.request("a", "sleep 100", runtime: runtime))
            _ = try await world.tasks.start(ref)
            await world.stop()
            unlink(world.folder.path + "/state/bundles/\(world.namespace)/a/\(ShimBootstrap.file)")
            try await world.start()
            #expect(try await world.tasks.info(ref).state == .running)
            _ = try await world.tasks.delete(ref, force: true)
            try await world.finish()
        }

        @Test func `bundles of starts that were cut short are undone`() async throws {
            let world = try await World()
            await world.stop()
            let bundles = world.folder.path + "/state/bundles/\(world.namespace)"
            // Before anything; before the shim; and with a shim but no task.
            try Files.makeDirectories(bundles + "/nothing", mode: 0o700)
            let cut = ShimBundle(folder: world.folder.path + "/state/bundles", namespace: world.namespace, id: "cut")
            try cut.create(BundleIntent(kind: .task, runtime: World.ownRuntime), spec: world.spec("cut", "true"))
            try await world.start()
            try await world.tasks.recovered()
            #expect(await code { _ = try await world.tasks.info(world.ref("cut")) } == .notFound)
            _ = try await world.daemon.shims.launch(
                ShimRequest(
                    ShimKey(world.namespace, "idle"), BundleIntent(kind: .task, runtime: World.ownRuntime),
                    spec: world.spec("idle", "true")))
            #expect(world.processes().count == 1)
            await world.stop()
            try await world.start()
            try await world.tasks.recovered()
            #expect(await code { _ = try await world.tasks.info(world.ref("idle")) } == .notFound)
            try await world.finish()
        }

        @Test func `a damaged record of a shim loses that shim and no other`() async throws {
            let world = try await World()
            for name in ["bad", "good"] {
                _ = try await world.tasks.create(
                    world.ref(name), world.request(name, "sleep 100", runtime: World.ownRuntime))
                _ = try await world.tasks.start(world.ref(name))
            }
            await world.stop()
            let bundle = world.folder.path + "/state/bundles/\(world.namespace)/bad"
            try Files.replace(bundle + "/" + ShimBootstrap.file, with: Array("{".utf8), mode: 0o600)
            try await world.start()
            #expect(try await world.tasks.info(world.ref("good")).state == .running)
            // The socket's place is known: the record is not needed to find the shim.
            #expect(try await world.tasks.info(world.ref("bad")).state == .running)
            for name in ["bad", "good"] { _ = try await world.tasks.delete(world.ref(name), force: true) }
            try await world.finish()
        }

        @Test func `a state directory whose sockets would have too long a name is refused`() async throws {
            let folder = try TemporaryFolder("bt")
            let long = folder.path + "/" + String(repeating: "x", count: 90)
            let words = await message { _ = try await TaskDaemon(long, KeptEvents()) }
            #expect(words.contains("too long for the sockets of shims: 107 bytes"), "\(words)")
        }
    }
}
