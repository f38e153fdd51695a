internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthServices
internal import SwiftProtobuf

extension RuntimeRPC {
    var podMethods: [GRPCMethod] {
        [
            .unary("RunPodSandbox") { (request: Runtime_V1_RunPodSandboxRequest, call) in
                guard request.hasConfig else { throw BerthError(.invalidArgument, "RunPodSandbox: config is missing") }
                let spec = try PodSpec(request.config, handler: request.runtimeHandler)
                var response = Runtime_V1_RunPodSandboxResponse()
                response.podSandboxID = try await engine.runPod(
                    spec, in: Self.namespace, caller: Self.caller(call)
                ).rawValue
                return response
            },
            .unary("StopPodSandbox") { (request: Runtime_V1_StopPodSandboxRequest, _) in
                try await engine.stopPod(try Self.pod(request.podSandboxID), in: Self.namespace)
                return Runtime_V1_StopPodSandboxResponse()
            },
            .unary("RemovePodSandbox") { (request: Runtime_V1_RemovePodSandboxRequest, _) in
                try await engine.removePod(try Self.pod(request.podSandboxID), in: Self.namespace)
                return Runtime_V1_RemovePodSandboxResponse()
            },
            .unary("PodSandboxStatus") { (request: Runtime_V1_PodSandboxStatusRequest, _) in
                try await podStatus(request)
            },
            GRPCMethod("ListPodSandbox", .unary { bytes, call in try await listPods(bytes, call) }),
        ]
    }

    static func pod(_ id: String) throws -> PodID {
        guard !id.isEmpty else { throw BerthError(.invalidArgument, "pod_sandbox_id is empty") }
        return PodID(id)
    }

    private func podStatus(_ request: Runtime_V1_PodSandboxStatusRequest) async throws
        -> Runtime_V1_PodSandboxStatusResponse
    {
        let info = try await engine.pod(try Self.pod(request.podSandboxID), in: Self.namespace)
        var response = Runtime_V1_PodSandboxStatusResponse()
        response.status = info.statusMessage
        response.timestamp = Timestamp.now().nanoseconds
        response.containersStatuses = try await engine.containers(in: Self.namespace)
            .filter { $0.pod == info.id }.map(\.statusMessage)
        if request.verbose {
            var fields: [String: JSONValue] = [
                "pid": .number(String(info.pid)), "netns": .string(info.netns), "reason": .string(info.reason),
                "runtimeHandler": .string(info.spec.runtimeHandler),
            ]
            let document = try JSONValue(parsing: await engine.inspect(info.id.rawValue, in: Self.namespace))
            fields["berth"] = document
            if let network = document["network"] { fields["cniResult"] = network }
            response.info = ["info": String(decoding: JSONValue.object(fields).encoded(), as: UTF8.self)]
        }
        return response
    }

    /// Without a filter the answer is kept encoded until something changes.
    private func listPods(_ bytes: [UInt8], _ call: GRPCCall) async throws -> [UInt8] {
        let request: Runtime_V1_ListPodSandboxRequest = try Self.decode(bytes, call)
        await engine.recovered()
        let all = { () async throws -> [UInt8] in
            var response = Runtime_V1_ListPodSandboxResponse()
            response.items = try await engine.pods(in: Self.namespace).filter { $0.matches(request.filter) }.map(
                \.listItem)
            return try response.serializedBytes()
        }
        if request.filter != Runtime_V1_PodSandboxFilter() { return try await all() }
        return try await sandboxes.bytes(at: engine.revision, all)
    }

    static func decode<Request: Message>(_ bytes: [UInt8], _ call: GRPCCall) throws -> Request {
        do { return try Request(serializedBytes: bytes) } catch {
            throw BerthError(.invalidArgument, "\(call.path): the request is no valid message", cause: error)
        }
    }
}

/// One encoded answer and the revision it is of.
final class EncodedList: Sendable {
    private let kept = Shared<(revision: UInt64, bytes: [UInt8])>((0, []))

    /// The kept bytes if nothing has changed since, else those that `build` makes.
    ///
    /// The revision is read before the list is built: a change meanwhile makes the next call build again.
    func bytes(at revision: UInt64, _ build: () async throws -> [UInt8]) async throws -> [UInt8] {
        if let bytes = kept.withLock({ $0.revision == revision ? $0.bytes : nil }) { return bytes }
        let bytes = try await build()
        kept.withLock { kept in
            if kept.revision < revision { kept = (revision, bytes) }
        }
        return bytes
    }
}
