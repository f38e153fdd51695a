internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthKernel
internal import BerthServices
internal import Glibc
internal import SwiftProtobuf

/// The `berth.v1.Berth` service on the daemon's services.
struct BerthService: GRPCService {
    /// The namespace of what is pulled and run by hand: a kubelet kills what it does not know in `k8s.io`.
    static let defaultNamespace: NamespaceID = "default"

    let kernel: any KernelView
    let operations: any OperationTable
    let images: any ImageService
    /// Nil in a daemon that only keeps images.
    let engine: (any PodEngine)?
    let garbage: (any GarbageCollector)?
    let handRuns: HandRunPods?
    let startedAt = Timestamp.now()

    var name: String { "berth.v1.Berth" }

    var methods: [GRPCMethod] {
        [
            .unary("Version") { (_: Berth_V1_VersionRequest, _) in version() },
            .unary("Plugins") { (_: Berth_V1_PluginsRequest, _) in plugins() },
            .unary("Operations") { (_: Berth_V1_OperationsRequest, _) in await inFlight() },
            .serverStreaming("Pull") { (request: Berth_V1_PullRequest, call, send) in
                try await pull(request, call, send)
            },
            .unary("Images") { (request: Berth_V1_ImagesRequest, _) in try await list(request) },
            .unary("RemoveImage") { (request: Berth_V1_RemoveImageRequest, _) in try await remove(request) },
            .unary("Run") { (request: Berth_V1_RunRequest, call) in try await run(request, call) },
            .unary("Containers") { (request: Berth_V1_ContainersRequest, _) in try await list(request) },
            .unary("Inspect") { (request: Berth_V1_InspectRequest, _) in try await inspect(request) },
            .serverStreaming("Logs") { (request: Berth_V1_LogsRequest, _, send) in try await logs(request, send) },
            .unary("Wait") { (request: Berth_V1_WaitRequest, _) in try await wait(request) },
            .unary("Stop") { (request: Berth_V1_StopRequest, _) in try await stop(request) },
            .unary("Remove") { (request: Berth_V1_RemoveRequest, _) in try await remove(request) },
            .unary("Exec") { (request: Berth_V1_ExecRequest, _) in try await exec(request) },
            .unary("CollectGarbage") { (request: Berth_V1_CollectGarbageRequest, _) in try await collect(request) },
            .unary("ExplainGarbage") { (request: Berth_V1_ExplainGarbageRequest, _) in try await explain(request) },
        ]
    }

    // MARK: The daemon

    private func version() -> Berth_V1_VersionResponse {
        var response = Berth_V1_VersionResponse()
        var versions = kernel.versions
        response.version = versions.removeValue(forKey: "berthd") ?? ""
        response.libraries = versions
        response.pid = getpid()
        response.startedAt = Google_Protobuf_Timestamp(startedAt)
        response.startTime = Google_Protobuf_Duration(kernel.startTime)
        return response
    }

    private func plugins() -> Berth_V1_PluginsResponse {
        var response = Berth_V1_PluginsResponse()
        response.plugins = kernel.plugins().map { report in
            var plugin = Berth_V1_Plugin()
            plugin.id = report.id.description
            plugin.state = report.state.name
            plugin.reason = report.state.reason
            plugin.requires = report.requires.map(\.description)
            plugin.startTime = Google_Protobuf_Duration(report.startTime)
            plugin.required = report.isRequired
            plugin.background = report.background
            return plugin
        }
        return response
    }

    private func inFlight() async -> Berth_V1_OperationsResponse {
        var response = Berth_V1_OperationsResponse()
        response.operations = await operations.list().map { info in
            var operation = Berth_V1_Operation()
            operation.id = info.id
            operation.kind = info.kind
            operation.subject = info.subject
            operation.caller = info.caller
            operation.stage = info.stage
            operation.waitingFor = info.waitingFor
            operation.startedAt = Google_Protobuf_Timestamp(info.startedAt)
            operation.waiters = Int32(clamping: info.waiters)
            return operation
        }
        return response
    }

    // MARK: Garbage

    private func collector() throws -> any GarbageCollector {
        guard let garbage else {
            throw BerthError(.unimplemented, "collect garbage: no collector runs; enable 'gc.sweeper'")
        }
        return garbage
    }

    private func collect(_ request: Berth_V1_CollectGarbageRequest) async throws -> Berth_V1_CollectGarbageResponse {
        let collector = try collector()
        let report = request.dryRun ? try await collector.plan() : try await collector.collect()
        var response = Berth_V1_CollectGarbageResponse()
        response.removed = report.removed.map { item in
            var garbage = Berth_V1_GarbageItem()
            garbage.namespace = item.namespace.rawValue
            garbage.kind = item.kind.rawValue
            garbage.key = item.key
            garbage.size = item.size
            return garbage
        }
        response.bytes = report.bytes
        response.kept = Int64(report.kept)
        return response
    }

    private func explain(_ request: Berth_V1_ExplainGarbageRequest) async throws -> Berth_V1_ExplainGarbageResponse {
        let chain = try await collector().explain(request.key, in: namespace(request.namespace))
        var response = Berth_V1_ExplainGarbageResponse()
        response.kept = chain != nil
        response.chain = (chain ?? []).map { step in
            var reference = Berth_V1_Reference()
            reference.kind = step.kind.rawValue
            reference.key = step.key
            reference.why = step.why
            return reference
        }
        return response
    }

    // MARK: What calls share

    /// The engine that runs pods.
    var pods: any PodEngine {
        get throws {
            guard let engine else {
                throw BerthError(.unimplemented, "no engine runs that could run pods; enable 'pods.local'")
            }
            return engine
        }
    }

    /// Who ends what was run by hand.
    var runs: HandRunPods {
        get throws {
            _ = try pods
            guard let handRuns else { throw BerthError(.internal, "containers run by hand are not watched") }
            return handRuns
        }
    }

    /// The namespace a request names, else the default.
    func namespace(_ name: String) -> NamespaceID { name.isEmpty ? Self.defaultNamespace : NamespaceID(name) }

    /// Who calls, for people.
    func caller(_ call: GRPCCall) -> String {
        guard let peer = call.peer else { return "a client" }
        return "process \(peer.pid) (user \(peer.uid))"
    }
}

extension Google_Protobuf_Timestamp {
    init(_ time: Timestamp) { self.init(seconds: time.seconds, nanos: time.subsecond) }
}

extension Google_Protobuf_Duration {
    init(_ duration: Duration) {
        let parts = duration.components
        self.init(seconds: parts.seconds, nanos: Int32(parts.attoseconds / 1_000_000_000))
    }

    /// The duration it stands for.
    var value: Duration { .seconds(seconds) + .nanoseconds(Int64(nanos)) }
}
