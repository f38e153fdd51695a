import BerthAPI
import BerthBase
import BerthGRPC
import BerthOCI
import BerthServices
import BerthTestSupport
import FoundationEssentials
import SwiftProtobuf
import Testing

@testable import CRIPlugins

private let k8s: NamespaceID = "k8s.io"

private func podConfig(_ change: (inout Runtime_V1_PodSandboxConfig) -> Void = { _ in }) -> Runtime_V1_PodSandboxConfig
{
    var config = Runtime_V1_PodSandboxConfig()
    (config.metadata.name, config.metadata.uid, config.metadata.namespace) = ("web", "u-1", "default")
    config.labels = ["app": "web"]
    config.linux.securityContext.namespaceOptions.pid = .container
    change(&config)
    return config
}

private func containerConfig(
    _ change: (inout Runtime_V1_ContainerConfig) -> Void = { _ in }
) -> Runtime_V1_ContainerConfig {
    var config = Runtime_V1_ContainerConfig()
    config.metadata.name = "app"
    config.image.image = "busybox"
    config.image.userSpecifiedImage = "busybox:1"
    change(&config)
    return config
}

@Suite struct RPCTests {
    private func run(_ rpc: RuntimeRPC, _ config: Runtime_V1_PodSandboxConfig = podConfig()) async throws -> String {
        var request = Runtime_V1_RunPodSandboxRequest()
        request.config = config
        let response: Runtime_V1_RunPodSandboxResponse = try await rpc.call("RunPodSandbox", request)
        return response.podSandboxID
    }

    private func create(
        _ rpc: RuntimeRPC, _ pod: String, _ config: Runtime_V1_ContainerConfig = containerConfig()
    ) async throws -> String {
        var request = Runtime_V1_CreateContainerRequest()
        (request.podSandboxID, request.config) = (pod, config)
        let response: Runtime_V1_CreateContainerResponse = try await rpc.call("CreateContainer", request)
        return response.containerID
    }

    private func status(_ rpc: RuntimeRPC, _ id: String, verbose: Bool = false) async throws
        -> Runtime_V1_ContainerStatusResponse
    {
        var request = Runtime_V1_ContainerStatusRequest()
        (request.containerID, request.verbose) = (id, verbose)
        return try await rpc.call("ContainerStatus", request)
    }

    @Test func `every method of the service is there or refused by its name`() async throws {
        let world = try World()
        try await world.with { engine in
            let names = world.rpc(engine).methods.map(\.name)
            #expect(Set(names).count == names.count)
            #expect(names.count == 37)
            #expect(world.imageRPC(engine).methods.count == 6)
            for name in ["Exec", "CheckpointPod"] {
                let method = try #require(world.rpc(engine).methods.first { $0.name == name })
                guard case .streaming(let body) = method.handler else { throw BerthError(.internal, "unary") }
                do {
                    try await body(NoReader(), NoWriter(), GRPCCall(path: "/x"))
                    Issue.record("\(name) answered")
                } catch let error as BerthError {
                    #expect(error.code == .unimplemented)
                    #expect(error.message.contains(name))
                }
            }
        }
    }

    private struct NoReader: GRPCRequestReader { func next() async throws -> [UInt8]? { nil } }
    private struct NoWriter: GRPCResponseWriter { func send(_ message: [UInt8]) async throws {} }

    @Test func `version, status and runtime configuration`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.rpc(engine)
            let version: Runtime_V1_VersionResponse = try await rpc.call("Version", Runtime_V1_VersionRequest())
            #expect(version.runtimeName == "berth")
            #expect(version.runtimeApiVersion == "v1")
            var request = Runtime_V1_StatusRequest()
            request.verbose = true
            var status: Runtime_V1_StatusResponse = try await rpc.call("Status", request)
            #expect(status.status.conditions.map(\.type) == ["RuntimeReady", "NetworkReady"])
            #expect(status.status.conditions.map(\.status) == [true, true])
            #expect(status.runtimeHandlers.map(\.name) == ["", "berth"])
            #expect(status.features.supplementalGroupsPolicy)
            #expect(status.info["operations"] == "[]")
            world.network.notReady.withLock { $0 = "no configuration in /etc/cni/net.d" }
            status = try await rpc.call("Status", request)
            #expect(status.status.conditions[0].status)
            #expect(!status.status.conditions[1].status)
            #expect(status.status.conditions[1].message.contains("/etc/cni/net.d"))
            let config: Runtime_V1_RuntimeConfigResponse = try await rpc.call(
                "RuntimeConfig", Runtime_V1_RuntimeConfigRequest())
            #expect(config.linux.cgroupDriver == .cgroupfs)
            var update = Runtime_V1_UpdateRuntimeConfigRequest()
            update.runtimeConfig.networkConfig.podCidr = "10.9.0.0/24"
            let _: Runtime_V1_UpdateRuntimeConfigResponse = try await rpc.call("UpdateRuntimeConfig", update)
            #expect(world.network.cidr.withLock { $0 } == "10.9.0.0/24")
        }
    }

    @Test func `a pod by CRI: status, list, filter`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.rpc(engine)
            let id = try await run(rpc)
            var request = Runtime_V1_PodSandboxStatusRequest()
            (request.podSandboxID, request.verbose) = (id, true)
            let status: Runtime_V1_PodSandboxStatusResponse = try await rpc.call("PodSandboxStatus", request)
            #expect(status.status.state == .sandboxReady)
            #expect(status.status.network.ip == "10.1.2.3")
            #expect(status.status.network.additionalIps.map(\.ip) == ["fd00::3"])
            #expect(status.status.labels == ["app": "web"])
            #expect(status.status.linux.namespaces.options.pid == .container)
            #expect(try JSONValue(parsing: Array((status.info["info"] ?? "").utf8))["pid"]?.integer == 42)
            func list(_ change: (inout Runtime_V1_PodSandboxFilter) -> Void) async throws -> [String] {
                var request = Runtime_V1_ListPodSandboxRequest()
                change(&request.filter)
                let response: Runtime_V1_ListPodSandboxResponse = try await rpc.call("ListPodSandbox", request)
                return response.items.map(\.id)
            }
            #expect(try await list { _ in } == [id])
            #expect(try await list { $0.id = String(id.prefix(10)) } == [id])
            #expect(try await list { $0.labelSelector = ["app": "web"] } == [id])
            #expect(try await list { $0.labelSelector = ["app": "db"] } == [])
            #expect(try await list { $0.state.state = .sandboxNotready } == [])
            var stop = Runtime_V1_StopPodSandboxRequest()
            stop.podSandboxID = id
            let _: Runtime_V1_StopPodSandboxResponse = try await rpc.call("StopPodSandbox", stop)
            #expect(try await list { $0.state.state = .sandboxNotready } == [id])
            #expect(try await list { _ in } == [id])
        }
    }

    @Test func `a container by CRI: status says what was asked and what was found`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.rpc(engine)
            let pod = try await run(rpc, podConfig { $0.logDirectory = world.folder.path + "/logs" })
            let id = try await create(
                rpc, pod,
                containerConfig { config in
                    config.logPath = "app.log"
                    config.linux.securityContext.runAsUser.value = 1000
                    config.linux.securityContext.supplementalGroups = [7]
                    config.linux.resources.memoryLimitInBytes = 1 << 26
                    config.stopSignal = .sigint
                    var mount = Runtime_V1_Mount()
                    (mount.containerPath, mount.hostPath, mount.readonly) = (
                        "/v", world.folder.path + "/new/volume", true
                    )
                    config.mounts = [mount]
                })
            let response = try await status(rpc, id, verbose: true)
            let status = response.status
            #expect(status.state == .containerCreated)
            #expect(status.imageID == "sha256:" + String(repeating: "b", count: 64))
            #expect(status.image.userSpecifiedImage == "busybox:1")
            #expect(status.image.image == "docker.io/library/busybox:latest")
            #expect(status.logPath == world.folder.path + "/logs/app.log")
            #expect(status.user.linux.uid == 1000)
            #expect(status.user.linux.gid == 1001)
            #expect(status.user.linux.supplementalGroups == [1001, 29, 10, 7])
            #expect(status.resources.linux.memoryLimitInBytes == 1 << 26)
            #expect(status.stopSignal == .sigint)
            #expect(status.mounts.map(\.containerPath) == ["/v"])
            let info = try JSONValue(parsing: Array((response.info["info"] ?? "").utf8))
            #expect(info["runtimeSpec"]?["process"]?["user"]?["uid"]?.integer == 1000)
            #expect(info["sandboxID"]?.string == pod)
        }
    }

    @Test func `lists of containers follow every change`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.rpc(engine)
            func states(_ pod: String = "") async throws -> [Runtime_V1_ContainerState] {
                var request = Runtime_V1_ListContainersRequest()
                if !pod.isEmpty { request.filter.podSandboxID = pod }
                let response: Runtime_V1_ListContainersResponse = try await rpc.call("ListContainers", request)
                return response.containers.map(\.state)
            }
            #expect(try await states() == [])
            let pod = try await run(rpc)
            let id = try await create(rpc, pod)
            #expect(try await states() == [.containerCreated])
            var start = Runtime_V1_StartContainerRequest()
            start.containerID = id
            let _: Runtime_V1_StartContainerResponse = try await rpc.call("StartContainer", start)
            #expect(try await states() == [.containerRunning])
            #expect(try await states(pod) == [.containerRunning])
            #expect(try await states("other") == [])
            var stop = Runtime_V1_StopContainerRequest()
            stop.containerID = id
            let _: Runtime_V1_StopContainerResponse = try await rpc.call("StopContainer", stop)
            #expect(try await states() == [.containerExited])
            let exit = try await status(rpc, id).status
            #expect(exit.exitCode == 137)
            #expect(exit.finishedAt > 0)
            var remove = Runtime_V1_RemoveContainerRequest()
            remove.containerID = id
            let _: Runtime_V1_RemoveContainerResponse = try await rpc.call("RemoveContainer", remove)
            #expect(try await states() == [])
        }
    }

    @Test func `stats of what runs, whatever fails beside it`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.rpc(engine)
            let pod = try await run(rpc)
            let id = try await create(rpc, pod)
            _ = try await create(rpc, pod, containerConfig { $0.metadata.name = "created" })
            try await engine.startContainer(ContainerID(id), in: k8s)
            let all: Runtime_V1_ListContainerStatsResponse = try await rpc.call(
                "ListContainerStats", Runtime_V1_ListContainerStatsRequest())
            #expect(all.stats.map(\.attributes.id) == [id])
            #expect(all.stats[0].cpu.usageCoreNanoSeconds.value == 5_000_000)
            #expect(all.stats[0].memory.workingSetBytes.value == 700)
            #expect(all.stats[0].memory.availableBytes.value == 3300)
            #expect(all.stats[0].writableLayer.usedBytes.value == 4096)
            world.script.fail("task.stats")
            let none: Runtime_V1_ListContainerStatsResponse = try await rpc.call(
                "ListContainerStats", Runtime_V1_ListContainerStatsRequest())
            #expect(none.stats.isEmpty)
            var request = Runtime_V1_ContainerStatsRequest()
            request.containerID = id
            let one = request
            #expect(
                await code { let _: Runtime_V1_ContainerStatsResponse = try await rpc.call("ContainerStats", one) }
                    == .internal)
        }
    }

    @Test func `a rate of CPU use takes two reads that are far enough apart`() {
        let rates = CPURates()
        #expect(rates.rate(of: "a", usage: 0, at: 0) == nil)
        #expect(rates.rate(of: "a", usage: 9, at: 1000) == nil)
        #expect(rates.rate(of: "a", usage: 500_000_000, at: 1_000_000_000) == 500_000_000)
        #expect(rates.rate(of: "a", usage: 500_000_001, at: 1_000_000_001) == 500_000_000)
        #expect(rates.rate(of: "a", usage: 1, at: 3_000_000_000) == 0)
    }

    @Test func `a command by CRI`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.rpc(engine)
            let id = try await create(rpc, try await run(rpc))
            try await engine.startContainer(ContainerID(id), in: k8s)
            var request = Runtime_V1_ExecSyncRequest()
            (request.containerID, request.cmd, request.timeout) = (id, ["true"], 3)
            let response: Runtime_V1_ExecSyncResponse = try await rpc.call("ExecSync", request)
            #expect(response.exitCode == 3)
            #expect(response.stdout == Data("out".utf8))
            var reopen = Runtime_V1_ReopenContainerLogRequest()
            reopen.containerID = id
            let _: Runtime_V1_ReopenContainerLogResponse = try await rpc.call("ReopenContainerLog", reopen)
        }
    }

    @Test func `the output of a command fits one message with both streams`() {
        func sizes(_ stdout: Int, _ stderr: Int) -> [Int] {
            let zeros = { [UInt8](repeating: 0, count: $0) }
            let cut = RuntimeRPC.bounded(ExecResult(stdout: zeros(stdout), stderr: zeros(stderr), exitCode: 0))
            return [cut.stdout.count, cut.stderr.count]
        }
        let (most, big) = (RuntimeRPC.maxExecOutput, 16 << 20)
        #expect(sizes(3, 4) == [3, 4])
        #expect(sizes(big, 0) == [most, 0])
        #expect(sizes(0, big) == [0, most])
        #expect(sizes(big, big) == [most / 2, most / 2])
        #expect(sizes(big, 10) == [most - 10, 10])
        #expect(sizes(10, big) == [10, most - 10])
    }

    @Test func `what a container may not ask for is refused by its field`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.rpc(engine)
            let pod = try await run(rpc)
            let cases: [(String, BerthError.Code, @Sendable (inout Runtime_V1_ContainerConfig) -> Void)] = [
                ("CDI_devices", .unimplemented, { $0.cdiDevices = [Runtime_V1_CDIDevice()] }),
                ("cdi.k8s.io/x", .unimplemented, { $0.annotations = ["cdi.k8s.io/x": "y"] }),
                ("windows", .invalidArgument, { $0.windows = Runtime_V1_WindowsContainerConfig() }),
                (
                    "image volumes", .unimplemented,
                    { config in
                        var mount = Runtime_V1_Mount()
                        (mount.containerPath, mount.image.image) = ("/v", "busybox")
                        config.mounts = [mount]
                    }
                ),
                ("run_as_group", .invalidArgument, { $0.linux.securityContext.runAsGroup.value = 1 }),
                (
                    "run_as_username", .invalidArgument,
                    { config in
                        config.linux.securityContext.runAsUser.value = 1
                        config.linux.securityContext.runAsUsername = "ada"
                    }
                ),
                ("run_as_user", .invalidArgument, { $0.linux.securityContext.runAsUser.value = 1 << 31 }),
                ("supplemental_groups", .invalidArgument, { $0.linux.securityContext.supplementalGroups = [-1] }),
                (
                    "UTF-8", .invalidArgument,
                    { config in
                        var variable = Runtime_V1_KeyValue()
                        (variable.key, variable.value) = ("A", Data([0xff]))
                        config.envs = [variable]
                    }
                ),
                ("NODE", .invalidArgument, { $0.linux.securityContext.namespaceOptions.network = .node }),
                ("runtime_handler", .invalidArgument, { $0.image.runtimeHandler = "other" }),
                ("profile", .invalidArgument, { $0.linux.securityContext.seccompProfilePath = "nonsense" }),
                ("metadata", .invalidArgument, { $0.clearMetadata() }),
            ]
            for (word, expected, change) in cases {
                do {
                    _ = try await create(rpc, pod, containerConfig(change))
                    Issue.record("\(word) was taken")
                } catch let error as BerthError {
                    #expect(error.code == expected, "\(error)")
                    #expect(error.message.contains(word), "\(error)")
                }
            }
        }
    }

    @Test func `a sandbox config of another pod, an unknown handler and an empty ID are refused`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.rpc(engine)
            let pod = try await run(rpc)
            var request = Runtime_V1_CreateContainerRequest()
            (request.podSandboxID, request.config) = (pod, containerConfig())
            request.sandboxConfig = podConfig { $0.metadata.name = "other" }
            let other = request
            #expect(
                await code { let _: Runtime_V1_CreateContainerResponse = try await rpc.call("CreateContainer", other) }
                    == .invalidArgument)
            var unknown = Runtime_V1_RunPodSandboxRequest()
            (unknown.config, unknown.runtimeHandler) = (podConfig { $0.metadata.name = "x" }, "gvisor")
            let bad = unknown
            #expect(
                await code { let _: Runtime_V1_RunPodSandboxResponse = try await rpc.call("RunPodSandbox", bad) }
                    == .invalidArgument)
            #expect(
                await code {
                    let _: Runtime_V1_StopContainerResponse = try await rpc.call(
                        "StopContainer", Runtime_V1_StopContainerRequest())
                } == .invalidArgument)
            #expect(await code { _ = try await status(rpc, "nothing") } == .notFound)
        }
    }

    @Test func `seccomp by message, by the deprecated path, and without either`() throws {
        func seccomp(_ change: (inout Runtime_V1_LinuxContainerSecurityContext) -> Void) throws -> SecurityProfileChoice
        {
            let config = containerConfig { change(&$0.linux.securityContext) }
            return try ContainerSpec(config, pod: .test()).security.seccomp
        }
        #expect(try seccomp { _ in } == .unconfined)
        #expect(try seccomp { $0.seccomp.profileType = .runtimeDefault } == .runtimeDefault)
        #expect(
            try seccomp { ($0.seccomp.profileType, $0.seccomp.localhostRef) = (.localhost, "/p") } == .localhost("/p"))
        #expect(try seccomp { $0.seccompProfilePath = "runtime/default" } == .runtimeDefault)
        #expect(try seccomp { $0.seccompProfilePath = "localhost//p" } == .localhost("/p"))
    }

    @Test func `images by CRI have one ID everywhere`() async throws {
        let world = try World()
        try await world.with { engine in
            let rpc = world.imageRPC(engine)
            let id = "sha256:" + String(repeating: "b", count: 64)
            var pull = Runtime_V1_PullImageRequest()
            pull.image.image = "busybox"
            (pull.auth.auth, pull.auth.serverAddress) = (
                Base64.encode(Array("u:p:w".utf8)), "https://r.example:5000/v1/"
            )
            let pulled: Runtime_V1_PullImageResponse = try await rpc.call("PullImage", pull)
            #expect(pulled.imageRef == id)
            let credential = try #require(world.images.lastPull.withLock { $0?.credential })
            #expect(credential.host == "r.example:5000")
            guard case .basic("u", "p:w") = credential.kind else { throw BerthError(.internal, "wrong credential") }
            let list: Runtime_V1_ListImagesResponse = try await rpc.call("ListImages", Runtime_V1_ListImagesRequest())
            #expect(list.images.map(\.id) == [id])
            #expect(list.images[0].repoTags == ["docker.io/library/busybox:latest"])
            #expect(
                list.images[0].repoDigests == [
                    "docker.io/library/busybox@sha256:" + String(repeating: "a", count: 64)
                ])
            var ask = Runtime_V1_ImageStatusRequest()
            ask.image.image = "nothing"
            let none: Runtime_V1_ImageStatusResponse = try await rpc.call("ImageStatus", ask)
            #expect(!none.hasImage)
            ask.image.image = "busybox"
            ask.verbose = true
            let found: Runtime_V1_ImageStatusResponse = try await rpc.call("ImageStatus", ask)
            #expect(found.image.id == id)
            #expect(found.info["info"]?.contains("imageSpec") == true)
            ask.image.runtimeHandler = "gvisor"
            let unknown = ask
            #expect(
                await code { let _: Runtime_V1_ImageStatusResponse = try await rpc.call("ImageStatus", unknown) }
                    == .invalidArgument)
            var remove = Runtime_V1_RemoveImageRequest()
            remove.image.image = "busybox"
            let _: Runtime_V1_RemoveImageResponse = try await rpc.call("RemoveImage", remove)
            #expect(world.script.calls.contains("image.remove"))
        }
    }

    @Test func `the space of images and containers is told apart`() async throws {
        let world = try World()
        try await world.with { engine in
            let response: Runtime_V1_ImageFsInfoResponse = try await world.imageRPC(engine).call(
                "ImageFsInfo", Runtime_V1_ImageFsInfoRequest())
            #expect(response.imageFilesystems.count == 1)
            #expect(response.containerFilesystems.count == 1)
            #expect(response.imageFilesystems[0].fsID.mountpoint == "/x")
            #expect(response.imageFilesystems[0].timestamp > 0)
        }
    }

    @Test func `events of containers reach a watcher with the pod's status`() async throws {
        let world = try World()
        try await world.with { engine in
            let changes = await engine.changes()
            let pod = try await engine.runPod(.test(), in: k8s, caller: "")
            let id = try await engine.createContainer(.test(), pod: pod, in: k8s, caller: "")
            try await engine.startContainer(id, in: k8s)
            try await engine.stopContainer(id, in: k8s, timeout: .zero)
            try await engine.removePod(pod, in: k8s)
            var seen: [String] = []
            for await change in changes {
                seen.append("\(change.container == nil ? "pod" : "container") \(change.kind)")
                if change.kind == .deleted, change.container == nil { break }
            }
            #expect(
                seen == [
                    "pod created", "pod started", "container created", "container started", "container stopped",
                    "pod stopped", "container deleted", "pod deleted",
                ])
        }
    }

    @Test func `a watcher that is far behind is ended, the others go on`() async throws {
        let table = PodTable()
        let (slow, fast) = (table.watch(), table.watch())
        let reader = Task {
            var count = 0
            for await _ in fast { count += 1 }
            return count
        }
        for _ in 0...PodTable.maxQueuedChanges {
            table.announce(PodChange(.created, namespace: k8s, pod: "p", container: nil, at: .now()))
        }
        var count = 0
        for await _ in slow { count += 1 }
        #expect(count == PodTable.maxQueuedChanges)
        reader.cancel()
        _ = await reader.value
    }
}
