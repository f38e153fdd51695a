internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthServices
internal import FoundationEssentials
internal import SwiftProtobuf

extension RuntimeRPC {
    var containerMethods: [GRPCMethod] { lifeMethods + lookMethods }

    static func container(_ id: String) throws -> ContainerID {
        guard !id.isEmpty else { throw BerthError(.invalidArgument, "container_id is empty") }
        return ContainerID(id)
    }

    private var lifeMethods: [GRPCMethod] {
        [
            .unary("CreateContainer") { (request: Runtime_V1_CreateContainerRequest, call) in
                try await create(request, caller: Self.caller(call))
            },
            .unary("StartContainer") { (request: Runtime_V1_StartContainerRequest, _) in
                try await engine.startContainer(try Self.container(request.containerID), in: Self.namespace)
                return Runtime_V1_StartContainerResponse()
            },
            .unary("StopContainer") { (request: Runtime_V1_StopContainerRequest, _) in
                try await engine.stopContainer(
                    try Self.container(request.containerID), in: Self.namespace,
                    timeout: .seconds(max(request.timeout, 0)))
                return Runtime_V1_StopContainerResponse()
            },
            .unary("RemoveContainer") { (request: Runtime_V1_RemoveContainerRequest, _) in
                try await engine.removeContainer(try Self.container(request.containerID), in: Self.namespace)
                return Runtime_V1_RemoveContainerResponse()
            },
            .unary("UpdateContainerResources") { (request: Runtime_V1_UpdateContainerResourcesRequest, _) in
                guard !request.hasWindows else { throw BerthError(.invalidArgument, "windows: this node runs Linux") }
                // Annotations of an update are for plugins that are asked before it; there are none.
                try await engine.updateContainer(
                    try Self.container(request.containerID), in: Self.namespace,
                    resources: try ResourceLimits(request.linux))
                return Runtime_V1_UpdateContainerResourcesResponse()
            },
            .unary("ReopenContainerLog") { (request: Runtime_V1_ReopenContainerLogRequest, _) in
                try await engine.reopenLog(try Self.container(request.containerID), in: Self.namespace)
                return Runtime_V1_ReopenContainerLogResponse()
            },
            .unary("ExecSync") { (request: Runtime_V1_ExecSyncRequest, _) in
                guard request.timeout >= 0 else { throw BerthError(.invalidArgument, "ExecSync: timeout is negative") }
                let result = try await engine.execSync(
                    try Self.container(request.containerID), in: Self.namespace, ExecRequest(request.cmd),
                    timeout: .seconds(request.timeout))
                var response = Runtime_V1_ExecSyncResponse()
                let (stdout, stderr) = Self.bounded(result)
                response.stdout = Data(stdout)
                response.stderr = Data(stderr)
                response.exitCode = result.exitCode
                return response
            },
        ]
    }

    /// The most bytes of both streams together: clients of CRI take messages of 16 MiB, tags and lengths included.
    static let maxExecOutput = (16 << 20) - 64

    /// Both streams within one message; each has at least half of the room.
    static func bounded(_ result: ExecResult) -> (stdout: ArraySlice<UInt8>, stderr: ArraySlice<UInt8>) {
        let half = maxExecOutput / 2
        let stdout = result.stdout.prefix(maxExecOutput - min(result.stderr.count, half))
        return (stdout, result.stderr.prefix(maxExecOutput - stdout.count))
    }

    private func create(
        _ request: Runtime_V1_CreateContainerRequest, caller: String
    ) async throws -> Runtime_V1_CreateContainerResponse {
        guard request.hasConfig else { throw BerthError(.invalidArgument, "CreateContainer: config is missing") }
        let pod = try await engine.pod(try Self.pod(request.podSandboxID), in: Self.namespace)
        // The pod was made from its config and keeps it; another one here would be about another pod.
        if request.hasSandboxConfig, request.sandboxConfig.hasMetadata,
            request.sandboxConfig.metadata != pod.spec.metadataMessage
        {
            throw BerthError(
                .invalidArgument, "CreateContainer: sandbox_config is that of another pod than '\(pod.id)'")
        }
        let spec = try ContainerSpec(request.config, pod: pod.spec)
        var response = Runtime_V1_CreateContainerResponse()
        response.containerID = try await engine.createContainer(
            spec, pod: pod.id, in: Self.namespace, caller: caller
        ).rawValue
        return response
    }

    private var lookMethods: [GRPCMethod] {
        [
            GRPCMethod("ListContainers", .unary { bytes, call in try await list(bytes, call) }),
            .unary("ContainerStatus") { (request: Runtime_V1_ContainerStatusRequest, _) in
                let info = try await engine.container(try Self.container(request.containerID), in: Self.namespace)
                var response = Runtime_V1_ContainerStatusResponse()
                response.status = info.statusMessage
                if request.verbose { response.info = ["info": try await verbose(info)] }
                return response
            },
        ]
    }

    private func list(_ bytes: [UInt8], _ call: GRPCCall) async throws -> [UInt8] {
        let request: Runtime_V1_ListContainersRequest = try Self.decode(bytes, call)
        await engine.recovered()
        let all = { () async throws -> [UInt8] in
            var response = Runtime_V1_ListContainersResponse()
            response.containers = try await engine.containers(in: Self.namespace)
                .filter { $0.matches(request.filter) }.map(\.listItem)
            return try response.serializedBytes()
        }
        if request.filter != Runtime_V1_ContainerFilter() { return try await all() }
        return try await containers.bytes(at: engine.revision, all)
    }

    /// What tools like crictl read out of a verbose status, and the engine's own document.
    private func verbose(_ info: ContainerInfo) async throws -> String {
        let document = try JSONValue(parsing: await engine.inspect(info.id.rawValue, in: Self.namespace))
        let fields: [String: JSONValue] = [
            "sandboxID": .string(info.pod.rawValue), "pid": .number(String(info.pid)),
            "snapshotter": .string(info.snapshotter), "snapshotKey": .string(info.snapshotKey.rawValue),
            "runtimeSpec": document["spec"] ?? .null, "berth": document,
        ]
        return String(decoding: JSONValue.object(fields).encoded(), as: UTF8.self)
    }
}
