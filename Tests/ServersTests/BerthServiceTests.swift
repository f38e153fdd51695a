import BerthAPI
import BerthBase
import BerthGRPC
import BerthKernel
import BerthServices
import BerthTestSupport
import FoundationEssentials
import Glibc
import Logging
import SwiftProtobuf
import Testing

@testable import ServersPlugins

/// The service over fakes, called by its methods' names.
private struct Service {
    let engine = FakeEngine()
    let images = FakeImages()
    let runs: HandRunPods
    let service: BerthService

    init(garbage: (any GarbageCollector)? = nil) {
        struct View: KernelView {
            func plugins() -> [PluginReport] { [] }
            var startTime: Duration { .milliseconds(12) }
            var versions: [String: String] { ["berthd": "1.2", "libx": "3"] }
        }
        runs = HandRunPods(pods: engine, logger: Logger(label: "test"))
        service = BerthService(
            kernel: View(), operations: FakeOperations(), images: images, engine: engine, garbage: garbage,
            handRuns: runs)
    }

    func call<Request: Message, Response: Message>(
        _ method: String, _ request: Request, as response: Response.Type = Response.self
    ) async throws -> Response {
        let found = service.methods.first { $0.name == method }
        guard case .unary(let handler) = found?.handler else { throw BerthError(.unimplemented, method) }
        let call = GRPCCall(path: "/berth.v1.Berth/\(method)")
        return try Response(serializedBytes: try await handler(try request.serializedBytes(), call))
    }

    func stream<Request: Message, Response: Message>(
        _ method: String, _ request: Request, as response: Response.Type = Response.self
    ) async throws -> [Response] {
        let found = service.methods.first { $0.name == method }
        guard case .streaming(let handler) = found?.handler else { throw BerthError(.unimplemented, method) }
        let answers = Answers()
        try await handler(One(bytes: try request.serializedBytes()), answers, GRPCCall(path: method))
        return try answers.all.withLock { $0 }.map { try Response(serializedBytes: $0) }
    }

    private final class One: GRPCRequestReader {
        private let message: Shared<[UInt8]?>
        init(bytes: [UInt8]) { message = Shared(bytes) }
        func next() async throws -> [UInt8]? {
            message.withLock { message in
                defer { message = nil }
                return message
            }
        }
    }
    private struct Answers: GRPCResponseWriter {
        let all = Shared<[[UInt8]]>([])
        func send(_ message: [UInt8]) async throws { all.withLock { $0.append(message) } }
    }

    func run(_ change: (inout Berth_V1_RunRequest) -> Void = { _ in }) async throws -> Berth_V1_RunResponse {
        var pull = Berth_V1_PullRequest()
        pull.reference = "busybox"
        _ = try await stream("Pull", pull, as: Berth_V1_PullProgress.self)
        var request = Berth_V1_RunRequest()
        request.image = "busybox"
        request.name = "web"
        change(&request)
        return try await call("Run", request)
    }
}

private func code(_ body: () async throws -> Void) async -> BerthError.Code? {
    do { try await body() } catch { return (error as? BerthError)?.code ?? .unknown }
    return nil
}

@Suite struct BerthServiceTests {
    @Test func `the methods are those of the proto file`() {
        let proto = readText(
            "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
                + "/Sources/BerthAPI/Protos/berth.proto")
        let declared = proto.split(separator: "\n").compactMap { line -> String? in
            guard line.hasPrefix("  rpc ") else { return nil }
            return String(line.dropFirst(6).prefix { $0 != "(" })
        }
        #expect(declared.count == 16)
        #expect(Service().service.methods.map(\.name) == declared)
    }

    @Test func `versions and operations are told as they are`() async throws {
        let service = Service()
        let version: Berth_V1_VersionResponse = try await service.call("Version", Berth_V1_VersionRequest())
        #expect(version.version == "1.2")
        #expect(version.libraries == ["libx": "3"])
        #expect(version.pid == getpid())
        #expect(version.startTime.nanos == 12_000_000)
        let operations: Berth_V1_OperationsResponse = try await service.call("Operations", Berth_V1_OperationsRequest())
        #expect(operations.operations.map(\.stage) == ["fetching"])
    }

    @Test func `a pull tells how far it is and ends with the image, or with its error`() async throws {
        let service = Service()
        var request = Berth_V1_PullRequest()
        request.reference = "busybox"
        let reports: [Berth_V1_PullProgress] = try await service.stream("Pull", request)
        #expect(reports.last?.image.name == "docker.io/library/busybox")
        #expect(reports.dropLast().allSatisfy { !$0.hasImage })
        let images: Berth_V1_ImagesResponse = try await service.call("Images", Berth_V1_ImagesRequest())
        #expect(images.images.map(\.platform) == ["linux/amd64"])
        request.reference = "missing"
        let failing = request
        #expect(
            await code { _ = try await service.stream("Pull", failing, as: Berth_V1_PullProgress.self) } == .notFound)
        request.reference = "busybox"
        for (platform, password) in [("linux", ""), ("linux/", ""), ("", "secret")] {
            request.platform = platform
            request.password = password
            let wrong = request
            #expect(
                await code { _ = try await service.stream("Pull", wrong, as: Berth_V1_PullProgress.self) }
                    == .invalidArgument)
        }
    }

    @Test func `removing an image that is not there is notFound`() async throws {
        var request = Berth_V1_RemoveImageRequest()
        request.name = "nothing"
        let missing = request
        #expect(
            await code { let _: Berth_V1_RemoveImageResponse = try await Service().call("RemoveImage", missing) }
                == .notFound)
    }

    @Test func `what run asks for arrives in the specs`() async throws {
        let service = Service()
        let response = try await service.run { request in
            request.command = ["sleep", "1"]
            request.entrypoint = ["/bin/sh"]
            request.env = ["A=b=c"]
            request.volumes = [Berth_V1_Volume.with { ($0.source, $0.target, $0.readOnly) = ("/src", "/dst", true) }]
            request.memory = 64 << 20
            request.cpuMillis = 500
            request.hostNetwork = true
            request.user = "1000:1000"
            request.readOnly = true
            request.workdir = "/work"
            request.hostname = "host"
            request.labels = ["a": "b"]
        }
        #expect(response.ip == "10.0.0.1")
        let info = try #require(await service.engine.all[ContainerID(response.id)])
        #expect(info.state == .running)
        #expect(info.spec.command == ["/bin/sh"] && info.spec.args == ["sleep", "1"])
        #expect(info.spec.environment == [EnvironmentVariable("A", "b=c")])
        #expect(info.spec.mounts == [VolumeMount(target: "/dst", source: "/src", readOnly: true)])
        #expect(info.spec.resources.memoryLimit == 64 << 20)
        #expect(info.spec.resources.cpuQuota == 50_000 && info.spec.resources.cpuPeriod == 100_000)
        #expect(info.spec.security.user == .named("1000:1000") && info.spec.security.readOnlyRootfs)
        #expect(info.spec.security.seccomp == .runtimeDefault && !info.spec.security.maskedPaths.isEmpty)
        #expect(info.spec.workingDirectory == "/work" && info.spec.labels == ["a": "b"])
        let pod = try #require(await service.engine.pods[PodID(response.podID)])
        #expect(pod.spec.namespaces.network == .node && pod.spec.hostname == "host")
        #expect(pod.namespace == "default")
    }

    @Test func `a terminal and what cannot be are refused before anything is made`() async throws {
        let service = Service()
        let wrong: [((inout Berth_V1_RunRequest) -> Void, BerthError.Code)] = [
            ({ $0.terminal = true }, .unimplemented), ({ $0.image = "" }, .invalidArgument),
            ({ $0.image = "other" }, .notFound),
            ({ $0.name = "-x" }, .invalidArgument), ({ $0.env = ["novalue"] }, .invalidArgument),
            ({ $0.memory = -1 }, .invalidArgument),
            ({ $0.volumes = [Berth_V1_Volume.with { ($0.source, $0.target) = ("a", "/b") }] }, .invalidArgument),
        ]
        for (change, wanted) in wrong {
            var found: BerthError.Code?
            do { _ = try await service.run(change) } catch let error as BerthError { found = error.code }
            #expect(found == wanted)
        }
        #expect(await service.engine.pods.isEmpty)
    }

    @Test func `a name that is taken is refused, and who has it goes on`() async throws {
        let service = Service()
        let first = try await service.run()
        var found: BerthError?
        do { _ = try await service.run() } catch let error as BerthError { found = error }
        #expect(found?.code == .alreadyExists)
        #expect(found?.message.contains("the name 'web' is taken") == true)
        #expect(await service.engine.pods.keys.map(\.rawValue) == [first.podID])
        #expect(await service.engine.calls.isEmpty)
    }

    @Test func `notFound of run is about the image alone`() async throws {
        let service = Service()
        await service.engine.failNextStart(BerthError(.notFound, "execute 'x': ENOENT (stage exec)"))
        var found: BerthError?
        do { _ = try await service.run() } catch let error as BerthError { found = error }
        #expect(found?.code == .failedPrecondition)
        #expect(found?.message == "execute 'x': ENOENT (stage exec)")
    }

    @Test func `a container that does not start leaves no pod`() async throws {
        let service = Service()
        await service.engine.failNextStart(BerthError(.invalidArgument, "exec 'nothing': ENOENT"))
        var found: BerthError?
        do { _ = try await service.run() } catch let error as BerthError { found = error }
        #expect(found?.message == "exec 'nothing': ENOENT")
        #expect(await service.engine.pods.isEmpty)
    }

    @Test func `a container is found by ID, prefix and name, and an ambiguous prefix is refused`() async throws {
        let service = Service()
        let first = try await service.run { $0.name = "one" }
        let second = try await service.run { $0.name = "two" }
        for text in [first.id, String(first.id.prefix(4)), "one"] {
            #expect(try await service.service.find(text).id.rawValue == first.id)
        }
        #expect(try await service.service.find("two").id.rawValue == second.id)
        #expect(await code { _ = try await service.service.find("c") } == .invalidArgument)
        #expect(await code { _ = try await service.service.find("three") } == .notFound)
        #expect(await code { _ = try await service.service.find("") } == .invalidArgument)
    }

    @Test func `exec, stop, wait and inspect reach the container`() async throws {
        let service = Service()
        let run = try await service.run()
        var exec = Berth_V1_ExecRequest()
        (exec.id, exec.command, exec.env, exec.user, exec.workdir) = ("web", ["ls"], ["A=1"], "u", "/w")
        var result: Berth_V1_ExecResponse = try await service.call("Exec", exec)
        #expect(result.stdout == Data("u /w A=1 ls".utf8) && result.stderr == Data([7]) && result.exitCode == 0)
        exec.timeout = Google_Protobuf_Duration(seconds: 5)
        result = try await service.call("Exec", exec)
        #expect(result.exitCode == 3)
        let inspected: Berth_V1_InspectResponse = try await service.call(
            "Inspect", Berth_V1_InspectRequest.with { $0.id = "web" })
        #expect(inspected.json == Data("{\"id\":\"\(run.id)\"}".utf8))
        let _: Berth_V1_StopResponse = try await service.call("Stop", Berth_V1_StopRequest.with { $0.id = "web" })
        #expect(await service.engine.calls == ["stop 10.0 seconds"])
        let ended: Berth_V1_WaitResponse = try await service.call("Wait", Berth_V1_WaitRequest.with { $0.id = "web" })
        #expect(ended.exitCode == 143 && ended.hasFinishedAt)
        let list: Berth_V1_ContainersResponse = try await service.call("Containers", Berth_V1_ContainersRequest())
        #expect(list.containers.isEmpty)
        let all: Berth_V1_ContainersResponse = try await service.call(
            "Containers", Berth_V1_ContainersRequest.with { $0.all = true })
        #expect(all.containers.map(\.exitCode) == [143])
    }

    @Test func `a running container is removed by force only, with its pod`() async throws {
        let service = Service()
        _ = try await service.run()
        var request = Berth_V1_RemoveRequest.with { $0.id = "web" }
        let soft = request
        #expect(
            await code { let _: Berth_V1_RemoveResponse = try await service.call("Remove", soft) }
                == .failedPrecondition)
        request.force = true
        let _: Berth_V1_RemoveResponse = try await service.call("Remove", request)
        #expect(await service.engine.calls == ["removePod"])
    }

    @Test func `without a collector or an engine the calls say what to enable`() async throws {
        let service = Service()
        let request = Berth_V1_CollectGarbageRequest()
        #expect(
            await code { let _: Berth_V1_CollectGarbageResponse = try await service.call("CollectGarbage", request) }
                == .unimplemented)
    }

    @Test func `logs follow a container to its end`() async throws {
        let folder = try TemporaryFolder("berth-log")
        let path = folder.path + "/log"
        let service = Service()
        let run = try await service.run()
        await service.engine.setLog(path, of: ContainerID(run.id))
        func write(_ text: String) {
            let file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
            _ = Array(text.utf8).withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            close(file)
        }
        write("2026-11-24T19:00:00Z stdout F one\n")
        async let chunks: [Berth_V1_LogChunk] = service.stream(
            "Logs", Berth_V1_LogsRequest.with { ($0.id, $0.follow, $0.tail) = ("web", true, -1) })
        try await Task.sleep(for: .milliseconds(30))
        write("2026-11-24T19:00:01Z stderr F two\n")
        try await Task.sleep(for: .milliseconds(30))
        write("2026-11-24T19:00:02Z stdout F three\n")
        await service.engine.exit(ContainerID(run.id), 0)
        let got = try await chunks
        #expect(got.map { String(decoding: $0.data, as: UTF8.self) } == ["one\n", "two\n", "three\n"])
        #expect(got.map(\.stream) == ["stdout", "stderr", "stdout"])
    }

    @Test func `the pod of a container that exits is stopped, or removed once its readers are done`() async throws {
        let service = Service()
        let watching = Task { try await service.runs.watch() }
        defer { watching.cancel() }
        let kept = try await service.run { $0.name = "kept" }
        let removed = try await service.run {
            $0.name = "removed"
            $0.remove = true
        }
        try await Task.sleep(for: .milliseconds(20))
        async let status: Berth_V1_WaitResponse = service.call("Wait", Berth_V1_WaitRequest.with { $0.id = "removed" })
        try await Task.sleep(for: .milliseconds(20))
        await service.engine.exit(ContainerID(kept.id), 0)
        await service.engine.exit(ContainerID(removed.id), 5)
        #expect(try await status.exitCode == 5)
        let begin = ContinuousClock.now
        while await service.engine.pods[PodID(removed.podID)] != nil, ContinuousClock.now - begin < .seconds(60) {
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(await service.engine.pods[PodID(removed.podID)] == nil)
        while await service.engine.pods[PodID(kept.podID)]?.state != .notReady { try await Task.sleep(for: .milliseconds(10)) }
    }

    @Test func `what exited while nobody watched is ended at the start`() async throws {
        let service = Service()
        let run = try await service.run()
        await service.engine.exit(ContainerID(run.id), 0)
        let watching = Task { try await service.runs.watch() }
        defer { watching.cancel() }
        for _ in 0..<6000 {
            if await service.engine.pods[PodID(run.podID)]?.state == .notReady { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("the pod still runs")
    }
}

private func readText(_ path: String) -> String {
    guard let file = fopen(path, "re") else { return "" }
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    return String(decoding: buffer[..<fread(&buffer, 1, buffer.count, file)], as: UTF8.self)
}
