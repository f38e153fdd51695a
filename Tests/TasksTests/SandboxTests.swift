import BerthBase
import BerthOCI
import BerthServices
import BerthShimAPI
import BerthShimClient
import BerthSystem
import BerthTestSupport
import Glibc
import SandboxPlugins
import TasksPlugins
import Testing

extension TasksTests {
    /// A pod: a sandbox and its containers in one shim.
    @Suite struct Sandboxes {
        func sandbox(_ world: World, _ id: PodID, runtime: String = World.ownRuntime) throws -> SandboxRequest {
            var spec = OCISpec()
            spec.hostname = "pod-host"
            var linux = OCILinux()
            linux.namespaces = [.init(.ipc), .init(.uts)]
            linux.cgroupsPath = "\(world.cgroup)/\(id)"
            spec.linux = linux
            return SandboxRequest(
                id: id, namespace: world.namespace, spec: try spec.json(), netns: "", runtime: runtime)
        }

        func container(
            _ world: World, _ name: String, _ script: String, in pod: PodID, of status: SandboxStatus,
            stdio: TaskStdio = TaskStdio()
        ) throws -> TaskRequest {
            try world.request(name, script, runtime: World.ownRuntime, stdio: stdio, sandbox: pod) { spec in
                spec.hostname = nil
                spec.linux?.cgroupsPath = "\(world.cgroup)/\(pod)/\(name)"
                spec.linux?.namespaces = [
                    .init(.ipc, path: "/proc/\(status.pid)/ns/ipc"), .init(.uts, path: "/proc/\(status.pid)/ns/uts"),
                    .init(.pid), .init(.mount),
                ]
            }
        }

        @Test func `a pod's containers share one shim and its namespaces, and write CRI logs`() async throws {
            let world = try await World()
            let (sandboxes, tasks) = (try world.sandboxes, try world.tasks)
            let status = try await sandboxes.create(sandbox(world, "pod"))
            #expect(status.ready)
            #expect(status.pid > 0)
            #expect(await code { _ = try await sandboxes.create(sandbox(world, "pod")) } == .alreadyExists)
            let log = world.folder.path + "/c.log"
            let stdio = TaskStdio(stdout: "cri://" + log, stderr: "cri://" + log)
            let other = TaskStdio(stdout: "cri://\(log).d", stderr: "cri://\(log).d")
            let script = "hostname; echo no >&2; readlink /proc/self/ns/ipc; exit 4"
            _ = try await tasks.create(
                world.ref("c"), container(world, "c", script, in: "pod", of: status, stdio: stdio))
            _ = try await tasks.create(
                world.ref("d"), container(world, "d", "sleep 100", in: "pod", of: status, stdio: other))
            #expect(world.processes().count == 1)
            _ = try await tasks.start(world.ref("c"))
            _ = try await tasks.start(world.ref("d"))
            #expect(try await tasks.wait(world.ref("c")).code == 4)
            let lines = world.file("c.log").split(separator: "\n").map { $0.split(separator: " ", maxSplits: 3) }
            #expect(lines.map { $0[1] }.sorted() == ["stderr", "stdout", "stdout"])
            #expect(lines.contains { $0[2] == "F" && $0[3] == "pod-host" })
            unlink(log + ".d")
            try await tasks.reopenLog(world.ref("d"))
            #expect(access(log + ".d", F_OK) == 0)
            let ipc = try await tasks.execSync(
                world.ref("d"), process: world.process("readlink /proc/self/ns/ipc"), timeout: .seconds(10), limit: 100)
            let first = String(decoding: ipc.stdout, as: UTF8.self).split(separator: "\n").first
            #expect(lines.contains { $0[3] == first ?? "-" })
            #expect(try await sandboxes.metrics("pod", in: world.namespace).typeURL == CgroupV1Metrics.messageName)
            try await end(world, ["c", "d"])
            try await world.finish()
        }

        func end(_ world: World, _ names: [String]) async throws {
            let (sandboxes, tasks) = (try world.sandboxes, try world.tasks)
            try await sandboxes.stop("pod", in: world.namespace, timeout: .seconds(5))
            #expect(try await sandboxes.status("pod", in: world.namespace).ready == false)
            for name in names { _ = try await tasks.delete(world.ref(name), force: true) }
            try await sandboxes.stop("pod", in: world.namespace, timeout: .seconds(5))
            try await sandboxes.remove("pod", in: world.namespace)
            try await sandboxes.remove("pod", in: world.namespace)
            try await sandboxes.stop("pod", in: world.namespace, timeout: .seconds(5))
            #expect(await code { _ = try await sandboxes.status("pod", in: world.namespace) } == .notFound)
        }

        @Test func `a restart finds the pod and its containers`() async throws {
            let world = try await World()
            let status = try await world.sandboxes.create(sandbox(world, "pod"))
            for (name, script) in [("run", "sleep 100"), ("end", "sleep 0.2; exit 3")] {
                _ = try await world.tasks.create(
                    world.ref(name), container(world, name, script, in: "pod", of: status))
                _ = try await world.tasks.start(world.ref(name))
            }
            await world.stop()
            try await Task.sleep(for: .milliseconds(400))
            try await world.start()
            #expect(try await world.sandboxes.status("pod", in: world.namespace) == status)
            #expect(try await world.tasks.info(world.ref("run")).state == .running)
            #expect(try await world.tasks.wait(world.ref("end")).code == 3)
            try await end(world, ["run", "end"])
            try await world.finish()
        }

        @Test func `a pod whose shim is killed is lost with its containers, and can be removed`() async throws {
            let world = try await World()
            let (sandboxes, tasks) = (try world.sandboxes, try world.tasks)
            let losses = await sandboxes.losses()
            let status = try await sandboxes.create(sandbox(world, "pod"))
            _ = try await tasks.create(world.ref("c"), container(world, "c", "sleep 100", in: "pod", of: status))
            let pid = try await tasks.start(world.ref("c")).pid
            kill(try #require(world.processes().first), SIGKILL)
            for await (namespace, pod, lost) in losses {
                #expect(namespace == world.namespace)
                #expect(pod == "pod")
                #expect(!lost.ready)
                #expect(lost.reason.contains("its process ended"), "\(lost.reason)")
                break
            }
            #expect(try await tasks.wait(world.ref("c")).code == 137)
            for _ in 0..<2000 where kill(Int32(pid), 0) == 0 { try await Task.sleep(for: .milliseconds(10)) }
            #expect(kill(Int32(pid), 0) != 0)
            let now = try await sandboxes.status("pod", in: world.namespace)
            #expect(!now.ready)
            #expect(now.reason.contains("its process ended"))
            #expect(
                await code {
                    _ = try await tasks.create(world.ref("e"), container(world, "e", "true", in: "pod", of: status))
                } == .unavailable)
            _ = try await tasks.delete(world.ref("c"), force: true)
            try await sandboxes.stop("pod", in: world.namespace, timeout: .seconds(5))
            try await sandboxes.remove("pod", in: world.namespace)
            try await world.finish()
        }

        @Test func `a pod is removed with whatever still runs in it`() async throws {
            let world = try await World()
            let status = try await world.sandboxes.create(sandbox(world, "pod"))
            _ = try await world.tasks.create(world.ref("c"), container(world, "c", "sleep 100", in: "pod", of: status))
            let pid = try await world.tasks.start(world.ref("c")).pid
            try await world.sandboxes.remove("pod", in: world.namespace)
            for _ in 0..<2000 where kill(Int32(pid), 0) == 0 { try await Task.sleep(for: .milliseconds(10)) }
            #expect(kill(Int32(pid), 0) != 0)
            _ = try await world.tasks.delete(world.ref("c"), force: true)
            try await world.finish()
        }

        @Test func `a creation whose caller gives up leaves nothing, wherever it was`() async throws {
            let world = try await World()
            for delay in [0, 1, 5, 10, 20, 40, 80] {
                let (request, sandboxes) = (try sandbox(world, "pod"), try world.sandboxes)
                let creating = Task { try await sandboxes.create(request) }
                try await Task.sleep(for: .milliseconds(delay))
                creating.cancel()
                _ = await creating.result
                try await sandboxes.remove("pod", in: world.namespace)
                #expect(world.processes().isEmpty, "after \(delay) ms")
            }
            try await world.finish()
        }

        @Test func `a shim that was started for a pod but never told of it is adopted and removed`() async throws {
            let world = try await World()
            let request = try sandbox(world, "pod")
            let intent = BundleIntent(kind: .sandbox, runtime: World.ownRuntime)
            _ = try await world.daemon.shims.launch(
                ShimRequest(ShimKey(world.namespace, "pod"), intent, spec: request.spec))
            await world.stop()
            try await world.start()
            #expect(await code { _ = try await world.sandboxes.status("pod", in: world.namespace) } == .notFound)
            try await world.sandboxes.remove("pod", in: world.namespace)
            _ = try await world.sandboxes.create(request)
            try await world.sandboxes.remove("pod", in: world.namespace)
            try await world.finish()
        }

        @Test(.enabled(if: hasRuncShim, "needs Debian's containerd-shim-runc-v2"))
        func `a runtime without the Sandbox service is refused by name and leaves nothing`() async throws {
            let world = try await World()
            let words = await message {
                _ = try await world.sandboxes.create(sandbox(world, "pod", runtime: World.foreignRuntime))
            }
            #expect(words.contains("'io.containerd.runc.v2' has no Sandbox service"), "\(words)")
            try await world.finish()
        }
    }
}
