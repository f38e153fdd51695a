import BerthBase
import BerthServices
import BerthSystem
import Testing

@testable import CRIPlugins

private let k8s: NamespaceID = "k8s.io"

/// A daemon that ends at once and another that finds what it left: the same fakes, another engine.
@Suite struct RecoveryTests {
    /// Makes a running container, ends the engine, and does what happens meanwhile.
    private func restart(
        _ world: World, meanwhile: @Sendable (PodID, ContainerID) -> Void,
        then: @Sendable (LocalPodEngine, PodID, ContainerID) async throws -> Void
    ) async throws {
        let engine = try await world.engine()
        let pod = try await engine.runPod(.test(), in: k8s, caller: "")
        let id = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
        try await engine.startContainer(id, in: k8s)
        await world.close()
        meanwhile(pod, id)
        try await world.with { try await then($0, pod, id) }
    }

    @Test func `what ran goes on, with its pid and its time`() async throws {
        let world = try World()
        try await restart(world, meanwhile: { _, _ in }) { engine, pod, id in
            let info = try await engine.container(id, in: k8s)
            #expect(info.state == .running)
            #expect(info.pid == 4711)
            #expect(info.startedAt != nil)
            #expect(try await engine.pod(pod, in: k8s).state == .ready)
            try await engine.stopContainer(id, in: k8s, timeout: .seconds(1))
            #expect(try await engine.container(id, in: k8s).exitCode == 143)
        }
    }

    @Test func `an exit that nobody saw is reported with its status and its time`() async throws {
        let world = try World()
        let time = Timestamp(nanoseconds: 1_700_000_000_123_456_789)
        try await restart(
            world, meanwhile: { world.tasks.end(TaskRef(k8s, $1), code: 7, told: false, at: time) }
        ) { engine, _, id in
            let info = try await engine.container(id, in: k8s)
            #expect(info.state == .exited)
            #expect(info.exitCode == 7)
            #expect(info.finishedAt == time)
            #expect(world.tasks.rows.withLock { $0.isEmpty })
        }
    }

    @Test func `a shim that is gone ends its pod and its containers; removal still works`() async throws {
        let world = try World()
        try await restart(
            world,
            meanwhile: { _, _ in
                world.tasks.rows.withLock { $0 = [:] }
                world.sandboxes.rows.withLock { $0 = [:] }
            }
        ) { engine, pod, id in
            let info = try await engine.container(id, in: k8s)
            #expect(info.state == .exited)
            #expect(info.exitCode == 255)
            #expect(try await engine.pod(pod, in: k8s).state == .notReady)
            try await engine.removePod(pod, in: k8s)
            #expect(try await engine.pods(in: nil).isEmpty)
        }
    }

    @Test func `a shim that does not answer is unknown with a reason, not ended`() async throws {
        let world = try World()
        try await restart(
            world,
            meanwhile: { _, id in
                world.tasks.rows.withLock { $0[TaskRef(k8s, id)]?.info = TaskInfo(state: .unknown, pid: 0, exit: nil) }
            }
        ) { engine, _, id in
            let info = try await engine.container(id, in: k8s)
            #expect(info.state == .unknown)
            #expect(!info.message.isEmpty)
        }
    }

    @Test func `a list waits for the shims and is never short`() async throws {
        let world = try World()
        world.script.hold("sandbox.status")
        try await restart(world, meanwhile: { _, _ in }) { engine, pod, id in
            let listing = Task { try await engine.containers(in: k8s).map(\.id) }
            await world.script.made("sandbox.status")
            world.script.release("sandbox.status")
            let (containers, pods) = (try await listing.value, try await engine.pods(in: k8s))
            #expect(containers == [id])
            #expect(pods.map(\.id) == [pod])
        }
    }

    @Test func `a pod that was being made is undone, and the same call succeeds`() async throws {
        let world = try World()
        let engine = try await world.engine()
        let row = PodRow(
            id: PodID(LocalPodEngine.newID()), namespace: k8s,
            origin: .init(
                spec: .test(), digest: try LocalPodEngine.digest(PodSpec.test()), runtime: "io.containerd.berth.v1",
                sandboxer: "pod", createdAt: .now()), status: .init(phase: .starting))
        try await engine.rows.create(row, spec: [])
        await world.close()
        try await world.with { engine in
            let id = try await engine.runPod(.test(), in: k8s, caller: "")
            #expect(id != row.id)
            #expect(try await engine.pods(in: nil).map(\.id) == [id])
            #expect(world.script.calls.contains("network.detach"))
        }
    }

    @Test(arguments: [PodRow.Phase.stopping, .removing])
    func `a stop or removal that was cut short is finished`(_ phase: PodRow.Phase) async throws {
        let world = try World()
        let engine = try await world.engine()
        let pod = try await engine.runPod(.test(), in: k8s, caller: "")
        _ = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
        try await engine.commit(pod) { $0.status.phase = phase }
        await world.close()
        try await world.with { engine in
            let pods = try await engine.pods(in: k8s)
            #expect(pods.map(\.state) == (phase == .stopping ? [.notReady] : []))
            #expect(try await engine.containers(in: k8s).count == (phase == .stopping ? 1 : 0))
            #expect(world.script.calls.contains("sandbox.stop"))
        }
    }

    @Test(arguments: [TaskState.running, .created, .stopped, nil])
    func `a start that was cut short is adopted or taken back`(_ state: TaskState?) async throws {
        let world = try World()
        let engine = try await world.engine()
        let pod = try await engine.runPod(.test(), in: k8s, caller: "")
        let id = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
        try await engine.startContainer(id, in: k8s)
        try await engine.commit(id) { (row: inout ContainerRow) in row.status = .init(phase: .starting) }
        await world.close()
        let ref = TaskRef(k8s, id)
        switch state {
        case .stopped: world.tasks.end(ref, code: 9, told: false)
        case nil: world.tasks.rows.withLock { $0 = [:] }
        case let state?: world.tasks.rows.withLock { $0[ref]?.info = TaskInfo(state: state, pid: 5, exit: nil) }
        }
        try await world.with { engine in
            let info = try await engine.container(id, in: k8s)
            switch state {
            case .running: #expect(info.state == .running && info.pid == 5)
            case .stopped: #expect(info.state == .exited && info.exitCode == 9)
            default:
                #expect(info.state == .created)
                try await engine.startContainer(id, in: k8s)
            }
        }
    }

    @Test func `a container whose removal was cut short is removed`() async throws {
        let world = try World()
        let engine = try await world.engine()
        let pod = try await engine.runPod(.test(), in: k8s, caller: "")
        let id = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
        try await engine.commit(id) { (row: inout ContainerRow) in row.status.phase = .removing }
        await world.close()
        try await world.with { engine in
            let left = try await engine.containers(in: k8s)
            #expect(left.isEmpty)
            #expect(world.snapshots.keys.withLock { $0.isEmpty })
        }
    }

    @Test func `a create that was cut short leaves no snapshot, no files and no lease`() async throws {
        let world = try World()
        let engine = try await world.engine()
        try await engine.services.metadata.write { writer in
            try writer.createLease(LeaseRecord(id: "l", labels: [EngineRows.leaseLabel: "gone"]), in: k8s)
            try writer.addResource(.snapshot(snapshotter: "overlay", key: "gone"), to: "l", in: k8s)
        }
        world.snapshots.keys.withLock { $0 = ["gone"] }
        _ = try await engine.files.makeStdin(of: "gone")
        await world.close()
        try await world.with { engine in
            await engine.dropUnfinishedCreates(try await engine.rows.unfinishedCreates())
            #expect(world.snapshots.keys.withLock { $0.isEmpty })
            let left = try await engine.rows.unfinishedCreates()
            #expect(left.isEmpty)
            #expect((try? Files.status(engine.files.stdin(of: "gone"))) == nil)
        }
    }

    @Test func `a record that cannot be read is left out, the others are there`() async throws {
        let world = try World()
        let engine = try await world.engine()
        let good = try await engine.runPod(.test(), in: k8s, caller: "")
        try await engine.services.metadata.write { writer in
            var record = SandboxRecord(id: "broken", runtime: "x")
            record.extensions["berth.io/pod"] = AnyMessage(typeURL: "berth.io/pod", value: Array("{".utf8))
            try writer.createSandbox(record, in: k8s)
        }
        await world.close()
        try await world.with { engine in
            let pods = try await engine.pods(in: nil)
            #expect(pods.map(\.id) == [good])
        }
    }
}
