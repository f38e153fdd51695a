internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthServices
internal import SwiftProtobuf

extension RuntimeRPC {
    /// Items of one message of a streamed list: well below the 16 MiB that clients take.
    static let batch = 200

    var streamMethods: [GRPCMethod] {
        [
            .serverStreaming("StreamPodSandboxes") {
                (
                    request: Runtime_V1_StreamPodSandboxesRequest, _,
                    send: @escaping @Sendable (Runtime_V1_StreamPodSandboxesResponse) async throws -> Void
                ) in
                let items = try await engine.pods(in: Self.namespace).filter { $0.matches(request.filter) }
                for part in items.batches(of: Self.batch) {
                    var response = Runtime_V1_StreamPodSandboxesResponse()
                    response.podSandboxes = part.map(\.listItem)
                    try await send(response)
                }
            },
            .serverStreaming("StreamContainers") {
                (
                    request: Runtime_V1_StreamContainersRequest, _,
                    send: @escaping @Sendable (Runtime_V1_StreamContainersResponse) async throws -> Void
                ) in
                let items = try await engine.containers(in: Self.namespace).filter { $0.matches(request.filter) }
                for part in items.batches(of: Self.batch) {
                    var response = Runtime_V1_StreamContainersResponse()
                    response.containers = part.map(\.listItem)
                    try await send(response)
                }
            },
            .serverStreaming("GetContainerEvents") {
                (
                    _: Runtime_V1_GetEventsRequest, _,
                    send: @escaping @Sendable (Runtime_V1_ContainerEventResponse) async throws -> Void
                ) in
                for await change in await engine.changes() where change.namespace == Self.namespace {
                    try await send(try await event(change))
                }
                try Task.checkCancellation()
                throw BerthError(
                    .resourceExhausted, "GetContainerEvents: the client fell too far behind; list, then subscribe again"
                )
            },
        ]
    }

    /// The kubelet knows a pod's own events by its ID in `container_id`.
    private func event(_ change: PodChange) async throws -> Runtime_V1_ContainerEventResponse {
        var event = Runtime_V1_ContainerEventResponse()
        event.containerID = change.container?.rawValue ?? change.pod.rawValue
        event.createdAt = change.at.nanoseconds
        switch change.kind {
        case .created: event.containerEventType = .containerCreatedEvent
        case .started: event.containerEventType = .containerStartedEvent
        case .stopped: event.containerEventType = .containerStoppedEvent
        case .deleted: event.containerEventType = .containerDeletedEvent
        }
        // A pod that is gone by now has no status any more.
        if let pod = try? await engine.pod(change.pod, in: Self.namespace) {
            event.podSandboxStatus = pod.statusMessage
            event.containersStatuses = try await engine.containers(in: Self.namespace)
                .filter { $0.pod == change.pod }.map(\.statusMessage)
        }
        return event
    }
}

extension Array {
    /// The elements in arrays of at most `size`, in order.
    func batches(of size: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
    }
}
