import BerthBase
import BerthOCI
import BerthServices
import BerthSystem
import BerthTestSupport
import Testing

@testable import CRIPlugins

private let k8s: NamespaceID = "k8s.io"

@Suite struct ContainerTests {
    private func running(
        _ engine: LocalPodEngine, _ change: (inout ContainerSpec) -> Void = { _ in }
    ) async throws -> (pod: PodID, container: ContainerID) {
        let pod = try await engine.runPod(.test(), in: k8s, caller: "")
        let container = try await engine.createContainer(.test("app", change), pod: pod, in: k8s, caller: "")
        try await engine.startContainer(container, in: k8s)
        return (pod, container)
    }

    @Test func `a container is made, started, ends and is removed`() async throws {
        let world = try World()
        try await world.with { engine in
            let (_, id) = try await running(engine)
            let info = try await engine.container(id, in: k8s)
            #expect(info.state == .running)
            #expect(info.pid == 4711)
            #expect(info.startedAt != nil)
            #expect(info.imageRef.hasPrefix("sha256:b") || info.imageRef.contains("@"))
            let time = Timestamp(nanoseconds: 1_700_000_000_000_000_000)
            world.tasks.end(TaskRef(k8s, id), code: 3, at: time)
            let ended = try await engine.waitContainer(id, in: k8s)
            #expect(ended.exitCode == 3)
            #expect(ended.finishedAt == time)
            #expect(ended.reason == "Error")
            try await engine.removeContainer(id, in: k8s)
            #expect(await code { _ = try await engine.container(id, in: k8s) } == .notFound)
            #expect(world.snapshots.keys.withLock { $0.isEmpty })
            #expect(try await engine.rows.load().containers.isEmpty)
        }
    }

    @Test func `a container that was killed for its memory says so`() async throws {
        let world = try World()
        try await world.with { engine in
            let (_, id) = try await running(engine)
            world.tasks.end(TaskRef(k8s, id), code: 137, oom: true)
            #expect(try await engine.waitContainer(id, in: k8s).reason == "OOMKilled")
        }
    }

    @Test func `a stop sends the image's signal, then SIGKILL when the time is over`() async throws {
        let world = try World()
        try await world.with { engine in
            world.images.config.withLock { $0 = #"{"config":{"Cmd":["sh"],"StopSignal":"SIGUSR1"}}"# }
            let (_, id) = try await running(engine)
            try await engine.stopContainer(id, in: k8s, timeout: .milliseconds(50))
            #expect(world.script.calls.filter { $0.hasPrefix("task.kill") } == ["task.kill 10", "task.kill 9"])
            #expect(try await engine.container(id, in: k8s).exitCode == 137)
            try await engine.stopContainer(id, in: k8s, timeout: .seconds(1))
        }
    }

    @Test func `a stop that a request hurries does not wait for the first one's grace period`() async throws {
        let world = try World()
        try await world.with { engine in
            world.tasks.deadly.withLock { $0 = [9] }
            let (_, id) = try await running(engine)
            let patient = Task { try await engine.stopContainer(id, in: k8s, timeout: .seconds(600)) }
            await world.script.made("task.kill 15")
            try await engine.stopContainer(id, in: k8s, timeout: .zero)
            try await patient.value
            #expect(world.script.count("task.kill 9") == 1)
        }
    }

    @Test func `a container that cannot be started has ended with the runtime's words`() async throws {
        let world = try World()
        try await world.with { engine in
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            let id = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
            world.script.fail("task.start", BerthError(.notFound, "exec 'nothing': no such file"))
            #expect(await code { try await engine.startContainer(id, in: k8s) } == .failedPrecondition)
            let info = try await engine.container(id, in: k8s)
            #expect(info.state == .exited)
            #expect(info.reason == "StartError")
            #expect(info.exitCode == 128)
            #expect(info.message.contains("no such file"))
            #expect(await code { try await engine.startContainer(id, in: k8s) } == .failedPrecondition)
        }
    }

    @Test(arguments: ["image.resolve", "image.unpack", "snapshot.prepare"])
    func `a step that fails undoes those before it`(_ step: String) async throws {
        let world = try World()
        try await world.with { engine in
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            world.script.fail(step, BerthError(.unavailable, "broken"))
            #expect(
                await code { _ = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "") }
                    == .unavailable)
            #expect(try await engine.containers(in: nil).isEmpty)
            let leases = try await engine.services.metadata.read { try $0.leases(in: k8s, filters: []) }
            #expect(leases.isEmpty)
            #expect(world.snapshots.keys.withLock { $0.isEmpty })
        }
    }

    @Test func `a bad command is refused when the container is made, with nothing left`() async throws {
        let world = try World()
        try await world.with { engine in
            world.images.config.withLock { $0 = #"{"config":{}}"# }
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            #expect(
                await code { _ = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "") }
                    == .invalidArgument)
            #expect(world.snapshots.keys.withLock { $0.isEmpty })
        }
    }

    @Test func `the same container twice is one; another configuration is refused by its ID`() async throws {
        let world = try World()
        try await world.with { engine in
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            let id = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
            #expect(try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "") == id)
            let other = ContainerSpec.test { $0.args = ["x"] }
            #expect(
                await code { _ = try await engine.createContainer(other, pod: pod, in: k8s, caller: "") }
                    == .alreadyExists)
            try await engine.startContainer(id, in: k8s)
            #expect(
                await code { _ = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "") }
                    == .alreadyExists)
        }
    }

    @Test func `nothing is made in a pod that is not ready`() async throws {
        let world = try World()
        try await world.with { engine in
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            let id = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
            try await engine.stopPod(pod, in: k8s)
            #expect(await code { try await engine.startContainer(id, in: k8s) } == .failedPrecondition)
            let other = ContainerSpec.test("b")
            #expect(
                await code { _ = try await engine.createContainer(other, pod: pod, in: k8s, caller: "") }
                    == .failedPrecondition)
        }
    }

    @Test func `a pod's removal removes its containers, running ones too`() async throws {
        let world = try World()
        try await world.with { engine in
            let (pod, id) = try await running(engine)
            try await engine.removePod(pod, in: k8s)
            #expect(await code { _ = try await engine.container(id, in: k8s) } == .notFound)
            #expect(world.snapshots.keys.withLock { $0.isEmpty })
            #expect(world.tasks.rows.withLock { $0.isEmpty })
        }
    }

    @Test func `a command runs as the container's process does, with another command`() async throws {
        let world = try World()
        try await world.with { engine in
            let (_, id) = try await running(engine) { $0.security.user = .named("ada") }
            let result = try await engine.execSync(id, in: k8s, ExecRequest(["id", "-u"]), timeout: .seconds(5))
            #expect(result.exitCode == 3)
            let process = try OCIJSON.decode(OCIProcess.self, world.tasks.lastProcess.withLock { $0 }, as: "process")
            #expect(process.args == ["id", "-u"])
            #expect(process.user?.uid == 1000)
            #expect(process.user?.additionalGids == [1001, 29, 10])
            #expect(process.env?.contains("A=image") == true)
            #expect(process.capabilities?.bounding == CapabilityChoice.defaults.sorted())
            #expect(
                await code { _ = try await engine.execSync(id, in: k8s, ExecRequest([]), timeout: nil) }
                    == .invalidArgument)
            try await engine.stopContainer(id, in: k8s, timeout: .zero)
            #expect(
                await code { _ = try await engine.execSync(id, in: k8s, ExecRequest(["x"]), timeout: nil) }
                    == .failedPrecondition)
        }
    }

    @Test func `limits change in the spec before the start and in the cgroup after it`() async throws {
        let world = try World()
        try await world.with { engine in
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            let spec = ContainerSpec.test { $0.resources.memoryLimit = 1 << 20 }
            let id = try await engine.createContainer(spec, pod: pod, in: k8s, caller: "")
            var limits = ResourceLimits()
            limits.cpuShares = 77
            try await engine.updateContainer(id, in: k8s, resources: limits)
            try await engine.startContainer(id, in: k8s)
            let request = try world.tasks.row(TaskRef(k8s, id)).request
            let resources = try #require(OCISpec(json: request.spec).linux?.resources)
            #expect(resources.cpu?.shares == 77)
            #expect(resources.memory?.limit == 1 << 20)
            limits.cpuShares = 99
            try await engine.updateContainer(id, in: k8s, resources: limits)
            #expect(String(decoding: world.tasks.lastResources.withLock { $0 }, as: UTF8.self).contains("99"))
            #expect(try await engine.container(id, in: k8s).spec.resources.cpuShares == 99)
            #expect(try await engine.container(id, in: k8s).spec.resources.memoryLimit == 1 << 20)
        }
    }

    @Test func `an image's volume becomes a directory with what the image has there`() async throws {
        let world = try World()
        try Files.makeDirectories(world.snapshots.tree + "/data/sub", mode: 0o755)
        try Files.replace(world.snapshots.tree + "/data/sub/file", with: [0x41], mode: 0o600)
        #expect(symlinkTree(world.snapshots.tree + "/out", to: "/etc"))
        try await world.with { engine in
            world.images.config.withLock {
                $0 = #"{"config":{"Cmd":["sh"],"Volumes":{"/data":{},"/../../../etc":{},"/out":{}}}}"#
            }
            let (_, id) = try await running(engine)
            let folder = engine.files.volumes(of: id)
            let oci = try OCISpec(json: world.tasks.row(TaskRef(k8s, id)).request.spec)
            let sources = (oci.mounts ?? []).filter { $0.source?.hasPrefix(folder) == true }
            #expect(Set(sources.map(\.destination)) == ["/data", "/etc", "/out"])
            let data = try #require(sources.first { $0.destination == "/data" }?.source)
            #expect(try Files.text(data + "/sub/file") == "A")
            // Both of the others are the image's /etc, never the host's.
            for other in sources where other.destination != "/data" {
                #expect(try Files.names(in: other.source ?? "").sorted() == ["group", "passwd"])
            }
            try await engine.removeContainer(id, in: k8s)
            #expect((try? Files.status(folder)) == nil)
        }
    }

    @Test func `reserved labels of an image are dropped, those of the request are kept`() async throws {
        let world = try World()
        try await world.with { engine in
            world.images.config.withLock {
                $0 =
                    #"{"config":{"Cmd":["sh"],"Labels":{"containerd.io/restart.loguri":"binary:///x","#
                    + #""io.cri-containerd.x":"1","io.containerd.x":"2"}}}"#
            }
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            let spec = ContainerSpec.test { $0.labels = ["containerd.io/mine": "3"] }
            let id = try await engine.createContainer(spec, pod: pod, in: k8s, caller: "")
            let record = try await engine.services.metadata.read { try $0.container(id, in: k8s) }
            #expect(record.labels == ["io.containerd.x": "2", "containerd.io/mine": "3"])
        }
    }

    @Test func `a log goes where the pod's directory and the container's path say, and nowhere else`() async throws {
        let world = try World()
        let logs = world.folder.path + "/logs"
        try await world.with { engine in
            let pod = try await engine.runPod(.test { $0.logDirectory = logs }, in: k8s, caller: "")
            let id = try await engine.createContainer(.test { $0.logPath = "app/0.log" }, pod: pod, in: k8s, caller: "")
            try await engine.startContainer(id, in: k8s)
            #expect(try world.tasks.row(TaskRef(k8s, id)).request.stdio.stdout == "cri://\(logs)/app/0.log")
            #expect(try Files.status(logs + "/app").isDirectory)
            for bad in ["../x", "/x", "a//b", "a/./b", "a/../../b", "a\0b"] {
                let spec = ContainerSpec.test("bad") { $0.logPath = bad }
                #expect(
                    await code { _ = try await engine.createContainer(spec, pod: pod, in: k8s, caller: "") }
                        == .invalidArgument, "\(bad)")
            }
        }
    }
}
