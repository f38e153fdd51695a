import BerthBase
import BerthOCI
import BerthServices
import BerthSystem
import Testing

@testable import CRIPlugins

private let k8s: NamespaceID = "k8s.io"

@Suite struct PodTests {
    @Test func `a pod is made, stopped and removed, and leaves nothing`() async throws {
        let world = try World()
        try await world.with { engine in
            let id = try await engine.runPod(.test(), in: k8s, caller: "")
            let info = try await engine.pod(id, in: k8s)
            #expect(info.state == .ready)
            #expect(info.addresses == ["10.1.2.3", "fd00::3"])
            #expect(info.pid == 42)
            let files = engine.files.paths(of: id)
            #expect(try Files.text(files.hostname) == String(id.rawValue.prefix(12)))
            #expect(try Files.text(files.hosts).contains("10.1.2.3\t\(id.rawValue.prefix(12))"))
            #expect(try MountInfo.current().contains { $0.mountPoint == files.sharedMemory && $0.type == "tmpfs" })
            try await engine.stopPod(id, in: k8s)
            #expect(try await engine.pod(id, in: k8s).state == .notReady)
            try await engine.stopPod(id, in: k8s)
            #expect(world.script.count("sandbox.stop") == 1)
            try await engine.removePod(id, in: k8s)
            #expect(await code { _ = try await engine.pod(id, in: k8s) } == .notFound)
            #expect(!(try MountInfo.current().contains { $0.mountPoint == files.sharedMemory }))
            #expect((try? Files.status(files.directory)) == nil)
            #expect(world.sandboxes.rows.withLock { $0.isEmpty })
            #expect(world.network.attached.withLock { $0.isEmpty })
            let left = try await engine.rows.load()
            #expect(left.pods.isEmpty)
        }
    }

    @Test func `stopping or removing what is not there is success`() async throws {
        let world = try World()
        try await world.with { engine in
            try await engine.stopPod("nothing", in: k8s)
            try await engine.removePod("nothing", in: k8s)
            try await engine.stopContainer("nothing", in: k8s, timeout: .zero)
            try await engine.removeContainer("nothing", in: k8s)
        }
    }

    @Test func `a pod of the host's network has no network of its own`() async throws {
        let world = try World()
        try await world.with { engine in
            let spec = PodSpec.test { $0.namespaces.network = .node }
            let id = try await engine.runPod(spec, in: k8s, caller: "")
            #expect(world.script.count("network.attach") == 0)
            #expect(try await engine.pod(id, in: k8s).addresses.isEmpty)
            let request = try #require(world.sandboxes.rows.withLock { $0[id]?.0 })
            let oci = try OCISpec(json: request.spec)
            #expect(oci.hostname == nil)
            #expect(oci.linux?.namespaces?.map(\.type) == [.ipc])
        }
    }

    @Test(arguments: ["network.netns", "network.attach", "sandbox.create"])
    func `a step that fails undoes those before it`(_ step: String) async throws {
        let world = try World()
        try await world.with { engine in
            world.script.fail(step, BerthError(.unavailable, "broken"))
            #expect(await code { _ = try await engine.runPod(.test(), in: k8s, caller: "") } == .unavailable)
            #expect(try await engine.pods(in: nil).isEmpty)
            #expect(try await engine.rows.load().pods.isEmpty)
            #expect(world.script.calls.contains("network.detach"))
            #expect(world.sandboxes.rows.withLock { $0.isEmpty })
            world.script.fail(step, nil)
            _ = try await engine.runPod(.test(), in: k8s, caller: "")
        }
    }

    @Test func `what an undo cannot undo stays as a pod that is not ready, until a removal finishes it`() async throws {
        let world = try World()
        try await world.with { engine in
            world.script.fail("sandbox.create")
            world.script.fail("sandbox.remove")
            #expect(await code { _ = try await engine.runPod(.test(), in: k8s, caller: "") } == .internal)
            let left = try #require(try await engine.pods(in: k8s).first)
            #expect(left.state == .notReady)
            #expect(left.reason.contains("the shim"))
            world.script.fail("sandbox.remove", nil)
            try await engine.removePod(left.id, in: k8s)
            #expect(try await engine.pods(in: nil).isEmpty)
        }
    }

    @Test func `the same pod twice is one pod; another configuration of it is refused by its ID`() async throws {
        let world = try World()
        try await world.with { engine in
            let id = try await engine.runPod(.test(), in: k8s, caller: "")
            #expect(try await engine.runPod(.test(), in: k8s, caller: "") == id)
            do {
                _ = try await engine.runPod(.test { $0.labels = ["a": "b"] }, in: k8s, caller: "")
                Issue.record("another configuration was taken")
            } catch let error as BerthError {
                #expect(error.code == .alreadyExists)
                #expect(error.message.contains(id.rawValue))
            }
            try await engine.stopPod(id, in: k8s)
            #expect(await code { _ = try await engine.runPod(.test(), in: k8s, caller: "") } == .alreadyExists)
            let next = try await engine.runPod(.test { $0.attempt = 1 }, in: k8s, caller: "")
            #expect(next != id)
        }
    }

    @Test func `calls at the same time are one operation, and a caller who gives up changes nothing`() async throws {
        let world = try World()
        try await world.with { engine in
            world.script.hold("sandbox.create")
            let first = Task { try await engine.runPod(.test(), in: k8s, caller: "") }
            await world.script.made("sandbox.create")
            let second = Task { try await engine.runPod(.test(), in: k8s, caller: "") }
            first.cancel()
            #expect(await code { _ = try await first.value } == .cancelled)
            world.script.release("sandbox.create")
            let id = try await second.value
            #expect(world.script.count("sandbox.create") == 1)
            #expect(try await engine.runPod(.test(), in: k8s, caller: "") == id)
            #expect(try await engine.pods(in: k8s).map(\.id) == [id])
        }
    }

    @Test func `a pod that is being made is in no list`() async throws {
        let world = try World()
        try await world.with { engine in
            world.script.hold("sandbox.create")
            let making = Task { try await engine.runPod(.test(), in: k8s, caller: "") }
            await world.script.made("sandbox.create")
            #expect(try await engine.pods(in: k8s).isEmpty)
            world.script.release("sandbox.create")
            _ = try await making.value
            #expect(try await engine.pods(in: k8s).count == 1)
        }
    }

    @Test func `a pod whose shim is lost is not ready, and its containers have ended`() async throws {
        let world = try World()
        try await world.with { engine in
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            let container = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
            try await engine.startContainer(container, in: k8s)
            world.tasks.rows.withLock { $0 = [:] }
            world.sandboxes.lose(pod, in: k8s, reason: "the shim was killed")
            let ended = try await engine.waitContainer(container, in: k8s)
            #expect(ended.exitCode == 255)
            #expect(ended.reason == "Unknown")
            let info = try await engine.pod(pod, in: k8s)
            #expect(info.state == .notReady)
            #expect(info.reason == "the shim was killed")
            try await engine.removePod(pod, in: k8s)
        }
    }

    @Test func `pods of other namespaces are found by name, those of Kubernetes by ID alone`() async throws {
        let world = try World()
        try await world.with { engine in
            let mine = try await engine.runPod(.test("mine"), in: "default", caller: "")
            let theirs = try await engine.runPod(.test("theirs"), in: k8s, caller: "")
            #expect(try await engine.pod("mine", in: "default").id == mine)
            #expect(await code { _ = try await engine.pod("theirs", in: k8s) } == .notFound)
            #expect(try await engine.pod(PodID(String(theirs.rawValue.prefix(12))), in: k8s).id == theirs)
            #expect(await code { _ = try await engine.pod(theirs, in: "default") } == .notFound)
            #expect(try await engine.pods(in: nil).count == 2)
        }
    }
}
