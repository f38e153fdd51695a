internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthServices
internal import Logging
internal import SwiftProtobuf

/// `runtime.v1.RuntimeService` over the engine.
struct RuntimeRPC: GRPCService {
    let engine: any PodEngine
    let network: (any PodNetwork)?
    let operations: any OperationTable
    let usage: StorageUsage
    let version: String
    let sandboxes = EncodedList()
    let containers = EncodedList()
    let rates = CPURates()
    let logger: Logger

    static let namespace: NamespaceID = "k8s.io"
    var name: String { "runtime.v1.RuntimeService" }

    var methods: [GRPCMethod] {
        generalMethods + podMethods + containerMethods + streamMethods + statsMethods
            + Unimplemented.methods(of: name, Self.unimplemented)
    }

    static let unimplemented = [
        "Exec", "Attach", "PortForward", "CheckpointContainer", "CheckpointPod", "RestorePod", "ListMetricDescriptors",
        "ListPodSandboxMetrics", "StreamPodSandboxMetrics", "UpdatePodSandboxResources",
    ]

    /// For whom an operation is, in `berth ops`.
    static func caller(_ call: GRPCCall) -> String {
        call.peer.map { "pid \($0.pid) uid \($0.uid)" } ?? ""
    }

    // MARK: version, status, configuration

    private var generalMethods: [GRPCMethod] {
        [
            .unary("Version") { (_: Runtime_V1_VersionRequest, _) in
                var response = Runtime_V1_VersionResponse()
                response.version = "0.1.0"
                response.runtimeName = "berth"
                response.runtimeVersion = version
                response.runtimeApiVersion = "v1"
                return response
            },
            .unary("Status") { (request: Runtime_V1_StatusRequest, _) in try await status(request) },
            .unary("RuntimeConfig") { (_: Runtime_V1_RuntimeConfigRequest, _) in
                var response = Runtime_V1_RuntimeConfigResponse()
                response.linux.cgroupDriver = .cgroupfs
                return response
            },
            .unary("UpdateRuntimeConfig") { (request: Runtime_V1_UpdateRuntimeConfigRequest, _) in
                let cidr = request.runtimeConfig.networkConfig.podCidr
                if !cidr.isEmpty {
                    guard let network else {
                        throw BerthError(.failedPrecondition, "update the pod CIDR: no pod network is running")
                    }
                    try await network.setPodCIDR(cidr)
                }
                return Runtime_V1_UpdateRuntimeConfigResponse()
            },
        ]
    }

    private func status(_ request: Runtime_V1_StatusRequest) async throws -> Runtime_V1_StatusResponse {
        var response = Runtime_V1_StatusResponse()
        var runtime = Runtime_V1_RuntimeCondition()
        (runtime.type, runtime.status) = ("RuntimeReady", true)
        var ready = Runtime_V1_RuntimeCondition()
        (ready.type, ready.status) = ("NetworkReady", true)
        let reason: String?
        if let network {
            reason = await network.notReadyReason()
        } else {
            reason = "no pod network plugin is running"
        }
        if let reason {
            ready.status = false
            ready.reason = "NetworkPluginNotReady"
            ready.message = reason
        }
        response.status.conditions = [runtime, ready]
        // The first entry without a name is the default handler, as the kubelet looks it up.
        response.runtimeHandlers = ([""] + engine.runtimeHandlers).map { name in
            var handler = Runtime_V1_RuntimeHandler()
            handler.name = name
            handler.features.recursiveReadOnlyMounts = true
            handler.features.userNamespaces = false
            return handler
        }
        response.features.supplementalGroupsPolicy = true
        response.features.userNamespacesHostNetwork = false
        response.features.mountOptions = true
        if request.verbose { response.info = await verboseStatus() }
        return response
    }

    private func verboseStatus() async -> [String: String] {
        let operations = await operations.list().map { operation in
            JSONValue.object([
                "kind": .string(operation.kind), "subject": .string(operation.subject),
                "stage": .string(operation.stage), "waitingFor": .string(operation.waitingFor),
                "startedAt": .string(operation.startedAt.rfc3339),
            ])
        }
        let pending = await network?.pendingTeardowns() ?? []
        let teardowns = pending.map { teardown in
            JSONValue.object([
                "pod": .string(teardown.pod.rawValue), "attempts": .number(String(teardown.attempts)),
                "lastError": .string(teardown.lastError),
            ])
        }
        func text(_ value: JSONValue) -> String { String(decoding: value.encoded(), as: UTF8.self) }
        return [
            "runtimeHandlers": text(.array(engine.runtimeHandlers.map { .string($0) })),
            "operations": text(.array(operations)), "networkTeardowns": text(.array(teardowns)),
        ]
    }
}

/// Methods that are known and not there, each refused by its name.
enum Unimplemented {
    static func methods(of service: String, _ names: [String]) -> [GRPCMethod] {
        names.map { name in
            GRPCMethod(
                name,
                .streaming { _, _, _ in
                    throw BerthError(.unimplemented, "\(service)/\(name) is not supported by this version of Berth")
                })
        }
    }
}
