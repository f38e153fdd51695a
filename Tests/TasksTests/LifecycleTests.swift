import BerthBase
import BerthServices
import BerthShimAPI
import BerthTestSupport
import BerthOCI
import Glibc
import TasksPlugins
import Testing

extension TasksTests {
    /// The same life of a task in our shim and in Debian's: either side of the protocol can be swapped.
    @Suite struct Lifecycle {
        static var runtimes: [String] { hasRuncShim ? [World.ownRuntime, World.foreignRuntime] : [World.ownRuntime] }

        @Test(arguments: runtimes) func `a task is created, started, killed, waited for and deleted`(runtime: String) async throws {
            let world = try await World()
            let tasks = try world.tasks
            let ref = world.ref("a")
            let exits = await tasks.exits()
            let created = try await tasks.create(ref, world.request("a", "sleep 100", runtime: runtime))
            #expect(created.state == .created)
            #expect(created.pid > 0)
            #expect(await code { _ = try await tasks.create(ref, world.request("a", "true", runtime: runtime)) } == .alreadyExists)
            #expect(await code { _ = try await tasks.delete(ref, force: false) } == .failedPrecondition)
            let started = try await tasks.start(ref)
            #expect(started.state == .running)
            #expect(kill(Int32(started.pid), 0) == 0)
            #expect(await code { _ = try await tasks.start(ref) } == .failedPrecondition)
            #expect(try await tasks.pids(ref).contains(started.pid))
            #expect(try await tasks.stats(ref).typeURL == CgroupV1Metrics.messageName)
            try await tasks.kill(ref, signal: SIGKILL, all: false)
            let exit = try await tasks.wait(ref)
            #expect(exit.code == 137)
            #expect(exit.lossReason.isEmpty)
            #expect(try await tasks.info(ref).state == .stopped)
            #expect(await code { try await tasks.kill(ref, signal: SIGTERM, all: false) } == .notFound)
            #expect(try await tasks.delete(ref, force: false)?.code == 137)
            #expect(try await tasks.delete(ref, force: false) == nil)
            #expect(await code { _ = try await tasks.info(ref) } == .notFound)
            for await (who, status) in exits {
                #expect(who == ref)
                #expect(status == exit)
                break
            }
            for topic in [TaskTopic.create, TaskTopic.start, TaskTopic.exit, TaskTopic.delete] {
                for _ in 0..<2000 where !world.events.topics.contains(topic) { try await Task.sleep(for: .milliseconds(10)) }
                #expect(world.events.topics.contains(topic))
            }
            try await world.finish()
        }

        @Test(arguments: runtimes) func `exit codes and output are the process's own`(runtime: String) async throws {
            let world = try await World()
            let tasks = try world.tasks
            let ref = world.ref("a")
            let path = world.folder.path + "/out"
            let stdio = TaskStdio(stdout: "file://" + path, stderr: "file://" + path)
            _ = try await tasks.create(ref, world.request("a", "echo hello; exit 7", runtime: runtime, stdio: stdio))
            _ = try await tasks.start(ref)
            #expect(try await tasks.wait(ref).code == 7)
            _ = try await tasks.delete(ref, force: false)
            #expect(world.file("out") == "hello\n")
            try await world.finish()
        }

        @Test(arguments: runtimes) func `a forced deletion kills a running and a created task`(runtime: String) async throws {
            let world = try await World()
            let tasks = try world.tasks
            _ = try await tasks.create(world.ref("a"), world.request("a", "sleep 100", runtime: runtime))
            _ = try await tasks.create(world.ref("b"), world.request("b", "sleep 100", runtime: runtime))
            _ = try await tasks.start(world.ref("b"))
            #expect(try await tasks.delete(world.ref("a"), force: true) != nil)
            #expect(try await tasks.delete(world.ref("b"), force: true)?.code == 137)
            try await world.finish()
        }

        @Test(arguments: runtimes) func `a command runs to its end, bounded in output and time`(runtime: String) async throws {
            let world = try await World()
            let tasks = try world.tasks
            let ref = world.ref("a")
            _ = try await tasks.create(ref, world.request("a", "sleep 100", runtime: runtime))
            _ = try await tasks.start(ref)
            let plain = try await tasks.execSync(
                ref, process: world.process("echo out; echo err >&2; exit 3"), timeout: .seconds(60), limit: 1 << 20)
            #expect(String(decoding: plain.stdout, as: UTF8.self) == "out\n")
            #expect(String(decoding: plain.stderr, as: UTF8.self) == "err\n")
            #expect(plain.exitCode == 3)
            let long = try await tasks.execSync(
                ref, process: world.process("seq 1 100000"), timeout: .seconds(60), limit: 1000)
            #expect(long.stdout.count == 1000)
            let all = try await tasks.execSync(
                ref, process: world.process("seq 1 1000000"), timeout: .seconds(60), limit: 16 << 20)
            #expect(all.stdout.count == 6_888_896)
            let began = ContinuousClock.now
            #expect(
                await code {
                    _ = try await tasks.execSync(ref, process: world.process("sleep 77"), timeout: .seconds(1), limit: 100)
                } == .deadlineExceeded)
            #expect(ContinuousClock.now - began < .seconds(60), "it waited for the process's own end")
            #expect(await code {
                _ = try await tasks.execSync(world.ref("none"), process: [], timeout: nil, limit: 1)
            } == .notFound)
            _ = try await tasks.delete(ref, force: true)
            try await world.finish()
        }

        @Test(arguments: runtimes) func `an exec is started, signalled and waited for`(runtime: String) async throws {
            let world = try await World()
            let tasks = try world.tasks
            let ref = world.ref("a")
            _ = try await tasks.create(ref, world.request("a", "sleep 100", runtime: runtime))
            _ = try await tasks.start(ref)
            let pid = try await tasks.exec(ref, execID: "e", process: world.process("sleep 50"), stdio: TaskStdio())
            #expect(pid > 0)
            try await tasks.killExec(ref, execID: "e", signal: SIGKILL)
            #expect(try await tasks.waitExec(ref, execID: "e").code == 137)
            #expect(await code { _ = try await tasks.waitExec(ref, execID: "e") } == .notFound)
            _ = try await tasks.delete(ref, force: true)
            try await world.finish()
        }

        @Test(arguments: runtimes) func `pause, resume and update reach the cgroup`(runtime: String) async throws {
            let world = try await World()
            let tasks = try world.tasks
            let ref = world.ref("a")
            _ = try await tasks.create(ref, world.request("a", "sleep 100", runtime: runtime))
            _ = try await tasks.start(ref)
            try await tasks.pause(ref)
            #expect(try await tasks.info(ref).state == .paused)
            try await tasks.resume(ref)
            #expect(try await tasks.info(ref).state == .running)
            try await tasks.update(ref, resources: Array(#"{"cpu":{"shares":512}}"#.utf8))
            _ = try await tasks.delete(ref, force: true)
            try await world.finish()
        }

        @Test(arguments: runtimes) func `a bad command is told in the runtime's words and leaves nothing`(runtime: String) async throws {
            let world = try await World()
            let tasks = try world.tasks
            let ref = world.ref("a")
            let request = try world.request("a", "true", runtime: runtime) { $0.process?.args = ["/no/such/program"] }
            let words = await message {
                _ = try await tasks.create(ref, request)
                _ = try await tasks.start(ref)
            }
            #expect(words.contains("no/such/program"), "\(words)")
            _ = try await tasks.delete(ref, force: true)
            try await world.finish()
        }

        @Test func `a runtime that is not installed, or not named like one, is refused by name`() async throws {
            let world = try await World()
            let tasks = try world.tasks
            let missing = await message {
                _ = try await tasks.create(world.ref("a"), world.request("a", "true", runtime: "io.containerd.none.v9"))
            }
            #expect(missing.contains("'containerd-shim-none-v9' is in none of"), "\(missing)")
            #expect(await code {
                _ = try await tasks.create(world.ref("a"), world.request("a", "true", runtime: "runc"))
            } == .invalidArgument)
            #expect(await code {
                _ = try await tasks.create(
                    world.ref("a"), world.request("a", "true", runtime: World.ownRuntime, sandbox: "none"))
            } == .notFound)
            try await world.finish()
        }
    }
}
