import BerthBase
import BerthOCI
import BerthShimAPI
import BerthSystem
import Glibc
import Testing

@testable import BerthShim

/// Pods: a sandbox and its containers in one shim.
@Suite(.enabled(if: geteuid() == 0, "containers need root"), .serialized)
struct SandboxTests {
    private let service = SandboxService.name

    /// A sandbox that is ready, made from these namespaces.
    private func pod(
        _ world: ShimWorld, _ namespaces: [OCINamespace], _ change: (inout OCISpec) -> Void = { _ in }
    ) throws -> (shim: ShimConnection, pid: UInt32) {
        let id = world.id
        try world.make(id) { spec in
            spec.process = nil
            spec.hostname = "podhost"
            spec.linux?.namespaces = namespaces
            change(&spec)
        }
        let shim = try world.start(id)
        var create = CreateSandboxRequest()
        (create.sandboxID, create.bundlePath) = (id, world.bundle(id))
        _ = try shim.call(service, "CreateSandbox", create, CreateSandboxResponse.self)
        var start = StartSandboxRequest()
        start.sandboxID = id
        return (shim, try shim.call(service, "StartSandbox", start, StartSandboxResponse.self).pid)
    }

    /// Runs a container of the pod to its end; the lines it wrote.
    private func run(
        _ world: ShimWorld, _ shim: ShimConnection, _ script: String, _ namespaces: [OCINamespace]
    ) throws -> [String] {
        let id = world.id + "-c\(script.count)", log = world.folder + "/logs/\(id)"
        try world.make(id, script) {
            $0.hostname = nil
            $0.linux?.namespaces = namespaces
        }
        var request = world.creation(id)
        (request.stdout, request.stderr) = ("cri://" + log, "cri://" + log)
        _ = try shim.task("Create", request, CreateTaskResponse.self)
        _ = try shim.task("Start", StartRequest(id), StartResponse.self)
        _ = try shim.task("Wait", WaitRequest(id), WaitResponse.self)
        _ = try shim.task("Delete", DeleteRequest(id), DeleteResponse.self)
        return try world.text(log, lines: 0).map { String($0.dropFirst(40)) }
    }

    private func end(_ world: ShimWorld, _ shim: ShimConnection) throws {
        var stop = StopSandboxRequest(), shutdown = ShutdownSandboxRequest()
        (stop.sandboxID, shutdown.sandboxID) = (world.id, world.id)
        _ = try shim.call(service, "StopSandbox", stop, StopSandboxResponse.self)
        _ = try shim.call(service, "StopSandbox", stop, StopSandboxResponse.self)
        #expect(!world.cgroupExists(world.id))
        var status = SandboxStatusRequest()
        status.sandboxID = world.id
        let answer = try shim.call(service, "SandboxStatus", status, SandboxStatusResponse.self)
        #expect(answer.state == SandboxService.notReady && answer.exitedAt != nil)
        _ = try shim.call(service, "ShutdownSandbox", shutdown, ShutdownSandboxResponse.self)
        for _ in 0..<200 where shim.isAlive { usleep(10_000) }
        #expect(!shim.isAlive && access(shim.path, F_OK) != 0)
    }

    @Test func `containers share the pod's namespaces, which no process holds`() throws {
        let world = try ShimWorld()
        let (shim, pid) = try pod(world, [.init(.ipc), .init(.uts)]) { $0.linux?.sysctl = ["kernel.msgmax": "12345"] }
        #expect(pid == UInt32(shim.shimPID) && world.cgroupExists(world.id))
        let shared: [OCINamespace] = [
            .init(.ipc, path: "/proc/\(pid)/ns/ipc"), .init(.uts, path: "/proc/\(pid)/ns/uts"), .init(.mount),
            .init(.pid),
        ]
        let lines = try run(
            world, shim, "hostname; cat /proc/sys/kernel/msgmax; readlink /proc/self/ns/ipc", shared)
        #expect(lines.prefix(2) == ["podhost", "12345"])
        let again = try run(world, shim, "readlink /proc/self/ns/ipc", shared)
        #expect(again.first == lines.last && again.first?.hasPrefix("ipc:") == true)
        var host = [CChar](repeating: 0, count: 64)
        readlink("/proc/self/ns/ipc", &host, 63)
        #expect(again.first != String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
        try end(world, shim)
    }

    @Test func `a shared pid namespace has a reaper that shows nothing of the host`() throws {
        let world = try ShimWorld()
        let (shim, pid) = try pod(world, [.init(.ipc), .init(.uts), .init(.pid)])
        #expect(pid != UInt32(shim.shimPID))
        let shared: [OCINamespace] = [
            .init(.ipc, path: "/proc/\(pid)/ns/ipc"), .init(.pid, path: "/proc/\(pid)/ns/pid"), .init(.mount),
        ]
        let lines = try run(world, shim, "readlink /proc/1/exe; echo $$; cat /proc/1/status", shared)
        #expect(lines.contains("Name:\tberth-init") && lines.contains("CapEff:\t0000000000000000"))
        #expect(try Files.names(in: "/proc/\(pid)/fd") == [] && Files.names(in: "/proc/\(pid)/root/") == [])
        // An orphan of a container is reaped by the first process, and the container ends with its own.
        _ = try run(world, shim, "setsid sh -c 'sleep 0.1 & exit' ; exit 0", shared)
        try end(world, shim)
        #expect(kill(Int32(pid), 0) != 0)
    }

    @Test func `a sandbox whose reaper dies is not ready any more, and says so`() throws {
        let world = try ShimWorld()
        let (shim, pid) = try pod(world, [.init(.uts), .init(.pid)])
        kill(Int32(pid), SIGKILL)
        var wait = WaitSandboxRequest()
        wait.sandboxID = world.id
        #expect(try shim.call(service, "WaitSandbox", wait, WaitSandboxResponse.self).exitedAt != nil)
        try end(world, shim)
    }

    @Test func `after kill -9 of a pod's shim delete ends the reaper and the cgroup`() throws {
        let world = try ShimWorld()
        let (shim, pid) = try pod(world, [.init(.uts), .init(.pid)])
        kill(shim.shimPID, SIGKILL)
        for _ in 0..<200 where shim.isAlive { usleep(10_000) }
        _ = try world.run("delete", world.id)
        #expect(kill(Int32(pid), 0) != 0 || (try? Files.text("/proc/\(pid)/stat"))?.contains(") Z ") == true)
        #expect(!world.cgroupExists(world.id) && access(shim.path, F_OK) != 0)
    }

    @Test func `a sandbox is not made twice, nor shut down before its tasks are deleted; then it stops by itself`()
        throws
    {
        let world = try ShimWorld()
        let (shim, pid) = try pod(world, [.init(.uts), .init(.pid)])
        var shutdown = ShutdownSandboxRequest(), create = CreateSandboxRequest()
        (shutdown.sandboxID, create.sandboxID, create.bundlePath) = (world.id, world.id, world.bundle(world.id))
        #expect {
            try shim.call(service, "CreateSandbox", create, CreateSandboxResponse.self)
        } throws: {
            ($0 as? BerthError)?.code == .alreadyExists
        }
        let task = world.id + "-t"
        try world.make(task) { $0.hostname = nil }
        _ = try shim.task("Create", world.creation(task), CreateTaskResponse.self)
        #expect {
            try shim.call(service, "ShutdownSandbox", shutdown, ShutdownSandboxResponse.self)
        } throws: {
            ($0 as? BerthError)?.code == .failedPrecondition
        }
        _ = try shim.task("Delete", DeleteRequest(task), DeleteResponse.self)
        _ = try shim.call(service, "ShutdownSandbox", shutdown, ShutdownSandboxResponse.self)
        for _ in 0..<200 where shim.isAlive { usleep(10_000) }
        #expect(!shim.isAlive && access(shim.path, F_OK) != 0 && !world.cgroupExists(world.id))
        #expect(kill(Int32(pid), 0) != 0)
    }

    @Test func `containers that name one pod share a shim`() throws {
        let world = try ShimWorld()
        let first = world.id, second = world.id + "-b"
        for id in [first, second] {
            try world.make(id) { $0.annotations = ["io.kubernetes.cri.sandbox-id": first] }
        }
        let one = try world.start(first), two = try world.start(second)
        #expect(one.shimPID == two.shimPID)
        _ = try one.task("Shutdown", ShutdownRequest(), WireEmpty.self)
        for _ in 0..<200 where one.isAlive { usleep(10_000) }
        #expect(!one.isAlive)
    }
}
