import BerthBase
import BerthServices
import BerthStore
import BerthKernel
import BerthSystem
import BerthTestSupport
import Glibc
import SystemPackage
import Testing

@testable import NetworkPlugins

@Suite(.enabled(if: isRoot, "pod networks need root")) struct AttachmentTests {
    private func world(version: String = "1.0.0", _ plugins: [String] = ["one", "two"]) throws -> World {
        let world = try World()
        for plugin in plugins { try world.addPlugin(plugin) }
        try world.addNetwork(version: version, plugins: plugins)
        return world
    }

    @Test func `plugins are added in order, removed in reverse, and the result is kept`() async throws {
        let world = try world()
        let pod = World.pod()
        try await world.with { network in
            let result = try await world.connect(pod, network)
            #expect(result.addresses == ["10.9.0.2"])
        }
        try await world.with { network in
            #expect(try await network.result(pod: pod)?.addresses == ["10.9.0.2"])
            try await network.check(pod: pod)
            try await network.detach(pod: pod, patience: .seconds(20))
            #expect(try await network.result(pod: pod) == nil)
            #expect(await network.pendingTeardowns().isEmpty)
        }
        let expected = ["ADD one", "ADD two", "CHECK one", "CHECK two", "DEL two", "DEL one"]
        #expect(world.calls == expected.map { "\($0) \(pod)" })
        let input = try JSONValue(parsing: Array(world.read("input.one.DEL").utf8))
        #expect(input["prevResult"]?["ips"]?.array?.count == 2)
        #expect(!world.exists("netns/berth-\(pod)"))
    }

    @Test func `the attempt is a row before the first plugin runs`() async throws {
        let world = try world(["one"])
        let pod = World.pod()
        try world.plugin("one", on: "ADD", does: "touch \(world.folder.path)/began; sleep 100")
        let database = world.folder.path + "/berth.db"
        // The daemon dies in the middle of ADD: what it leaves is a copy of its files as they are then.
        try await world.with { network in
            let adding = Task { try await world.connect(pod, network) }
            try await eventually("ADD begins") { world.exists("began") }
            let row = try await network.ledger.get(pod)
            #expect(row?.phase == .attempting && row?.configuration.isEmpty == false && row?.file.hasSuffix("10-test.conflist") == true)
            for end in ["", "-wal", "-shm"] { try copy(database + end, world.folder.path + "/copy.db" + end) }
            try world.plugin("one", on: "ADD", does: nil)
            adding.cancel()
            for line in try await children(of: world) { kill(line, SIGKILL) }
            _ = await adding.result
        }
        for end in ["", "-wal", "-shm"] { try copy(world.folder.path + "/copy.db" + end, database + end) }
        try await world.with { network in
            #expect(await network.pendingTeardowns().map(\.pod) == [pod])
            try await drain(network)
            #expect(world.calls.last == "DEL one \(pod)")
            #expect(!world.exists("netns/berth-\(pod)"))
        }
    }

    private func copy(_ from: String, _ to: String) throws {
        guard let bytes = try? Files.read(from, limit: 64 << 20) else { return }
        try Files.replace(to, with: bytes, mode: 0o600)
    }

    /// The plugins of this world that run now.
    private func children(of world: World) async throws -> [pid_t] {
        try Files.names(in: "/proc").compactMap { pid_t($0) }.filter {
            ((try? Files.text("/proc/\($0)/cmdline")) ?? "").contains(world.folder.path + "/bin/")
        }
    }

    /// Runs the retries until nothing is pending.
    private func drain(_ network: CNINetwork) async throws {
        let retries = Task { try await network.retryTeardowns() }
        try await eventually("all torn down") { await network.pendingTeardowns().isEmpty }
        retries.cancel()
        _ = await retries.result
    }

    @Test func `a failed ADD queues the teardown and says the plugin's words`() async throws {
        let world = try world()
        let pod = World.pod()
        try world.plugin("two", on: "ADD", does: #"echo '{"code":7,"msg":"no room","details":"pool empty"}'; exit 1"#)
        try await world.with { network in
            let refused = await failure { try await world.connect(pod, network) }
            #expect(refused.message.contains("connect pod '\(pod)' to network 'test'"))
            #expect(refused.message.contains("CNI plugin 'two' ADD failed with status 1: no room: pool empty"))
            try await drain(network)
        }
        #expect(world.calls.suffix(2) == ["DEL two \(pod)", "DEL one \(pod)"])
        #expect(!world.exists("netns/berth-\(pod)"))
    }

    @Test(arguments: [
        ("echo garbage; exit 0", BerthError.Code.internal, "it printed no JSON: 'garbage"),
        ("exit 0", .internal, "printed no result"),
        ("echo '{}'; exit 0", .internal, "no plugin gave the pod an address"),
        ("echo oops >&2; exit 3", .unknown, "failed with status 3: oops"),
        (#"echo '{"code":11,"msg":"later"}'; exit 1"#, .unavailable, "later"),
        ("exec cat /dev/zero", .resourceExhausted, "wrote more than"),
        ("kill -9 $$", .unknown, "failed with status 137"),
    ])
    func `a plugin that misbehaves is an error with its name`(
        _ script: String, _ code: BerthError.Code, _ words: String
    ) async throws {
        let world = try world(["one"])
        try world.plugin("one", on: "ADD", does: script)
        try await world.with { network in
            let refused = await failure { try await world.connect(World.pod(), network) }
            #expect(refused.code == code)
            #expect(refused.message.contains("CNI plugin 'one' ADD") || words.hasPrefix("no plugin"))
            #expect(refused.message.contains(words))
        }
    }

    @Test func `a plugin that hangs is killed at its deadline and others go on`() async throws {
        let world = try world(["one"])
        let (stuck, good) = (World.pod(), World.pod())
        try world.plugin("one", on: "ADD", does: "[ $CNI_CONTAINERID != \(stuck) ] || sleep 1000")
        try await world.with({ $0.timeoutSeconds = 1 }) { network in
            let hanging = Task { await failure { try await world.connect(stuck, network) } }
            try await eventually("ADD begins") { world.calls.count == 1 }
            let before = ContinuousClock.now
            try await world.connect(good, network)
            #expect(before.duration(to: .now) < .milliseconds(900))
            let refused = await hanging.value
            #expect(refused.code == .deadlineExceeded)
            #expect(refused.message.contains("killed"))
        }
        #expect(try await children(of: world).isEmpty)
    }

    @Test func `a teardown that fails is tried again and nobody waits for it`() async throws {
        let world = try world(["one"])
        let (stuck, good) = (World.pod(), World.pod())
        try world.plugin("one", on: "DEL", does: "[ $CNI_CONTAINERID != \(stuck) ] || sleep 1000")
        try await world.with({ $0.timeoutSeconds = 1 }) { network in
            try await world.connect(stuck, network)
            try await world.connect(good, network)
            let retries = Task { try await network.retryTeardowns() }
            let before = ContinuousClock.now
            try await network.detach(pod: stuck, patience: .milliseconds(100))
            try await network.detach(pod: good, patience: .seconds(10))
            #expect(before.duration(to: .now) < .milliseconds(900))
            try await eventually("the failure is in the row") { await network.pendingTeardowns().contains { $0.attempts >= 1 } }
            #expect(await network.pendingTeardowns().first?.lastError.contains("killed") == true)
            try world.plugin("one", on: "DEL", does: nil)
            try await eventually("the teardown succeeds") { await network.pendingTeardowns().isEmpty }
            retries.cancel()
        }
        #expect(!world.exists("netns/berth-\(stuck)"))
    }

    @Test func `a teardown needs no configuration any more`() async throws {
        let world = try world(["one"])
        let pod = World.pod()
        try await world.with { try await world.connect(pod, $0) }
        try Files.remove(world.folder.path + "/conf/10-test.conflist")
        try await world.with { try await $0.detach(pod: pod, patience: .seconds(20)) }
        #expect(world.calls == ["ADD one \(pod)", "DEL one \(pod)"])
    }

    @Test func `a pod stopped while it is being connected is torn down`() async throws {
        let world = try world(["one"])
        let pod = World.pod()
        try world.plugin("one", on: "ADD", does: "while [ ! -f \(world.folder.path)/go ]; do sleep 0.05; done")
        try await world.with { network in
            let adding = Task { await failure { try await world.connect(pod, network) } }
            try await eventually("ADD begins") { world.calls.count == 1 }
            try await network.detach(pod: pod, patience: .milliseconds(50))
            try world.write("go", "")
            #expect(await adding.value.code == .aborted)
            try await drain(network)
        }
        #expect(world.calls == ["ADD one \(pod)", "DEL one \(pod)"])
    }

    @Test func `a pod is not connected twice, and an unknown one is not there`() async throws {
        let world = try world(["one"])
        let pod = World.pod()
        try await world.with { network in
            try await world.connect(pod, network)
            let request = PodNetworkRequest(pod: pod, netns: world.folder.path + "/netns/berth-\(pod)")
            #expect(await failure { _ = try await network.attach(request) }.code == .failedPrecondition)
            #expect(await failure { try await network.check(pod: World.pod()) }.code == .notFound)
            try await network.detach(pod: World.pod(), patience: .seconds(1))
        }
        #expect(world.calls.count == 1)
    }

    @Test func `STATUS is asked of version 1 point 1 only`() async throws {
        for (version, expected) in [("1.0.0", nil), ("1.1.0", "CNI plugin 'one' STATUS failed with status 1: not yet")] {
            let world = try world(version: version, ["one"])
            try world.plugin("one", on: "STATUS", does: #"echo '{"code":50,"msg":"not yet"}'; exit 1"#)
            try await world.with { network in
                let reason = await network.notReadyReason()
                #expect(expected.map { reason?.contains($0) == true } ?? (reason == nil), "\(reason ?? "ready")")
            }
            #expect(world.calls.count == (version == "1.1.0" ? 1 : 0))
        }
    }

    @Test func `a missing plugin is named with where it was looked for`() async throws {
        let world = try World()
        try world.addNetwork(plugins: ["nowhere"])
        try await world.with { network in
            let reason = await network.notReadyReason()
            #expect(reason?.contains("CNI plugin 'nowhere' is in none of \(world.folder.path)/bin; install it there") == true)
        }
    }

    @Test func `garbage is collected on request, with the pods that are there`() async throws {
        let world = try world(version: "1.1.0", ["one"])
        let pod = World.pod()
        try await world.with { network in
            try await world.connect(pod, network)
            try await network.collectGarbage()
            #expect(world.calls.count == 1)
        }
        try await world.with({ $0.collectGarbage = true }) { try await $0.collectGarbage() }
        let input = try JSONValue(parsing: Array(world.read("input.one.GC").utf8))
        #expect(
            input["cni.dev/valid-attachments"]?.encoded()
                == Array("[{\"containerID\":\"\(pod)\",\"ifname\":\"eth0\"}]".utf8))
    }

    @Test func `a record that cannot be read stops nobody`() async throws {
        let world = try world(["one"])
        let pod = World.pod()
        try await world.with { network in
            try await network.ledger.metadata.write { try $0.setValue([1, 2, 3], for: "broken", table: "network.cni") }
        }
        try await world.with { network in
            try await world.connect(pod, network)
            #expect(await network.complaint() == "the network record of pod 'broken' cannot be read")
            #expect(await failure { _ = try await network.result(pod: "broken") }.code == .dataLoss)
        }
    }
}
