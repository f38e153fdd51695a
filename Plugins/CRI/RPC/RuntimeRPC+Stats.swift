internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthServices
internal import Logging
internal import SwiftProtobuf

extension RuntimeRPC {
    /// How many containers are asked at once.
    static let statsWidth = 16

    var statsMethods: [GRPCMethod] {
        [
            .unary("ContainerStats") { (request: Runtime_V1_ContainerStatsRequest, _) in
                let info = try await engine.container(try Self.container(request.containerID), in: Self.namespace)
                var response = Runtime_V1_ContainerStatsResponse()
                response.stats = try await stats(of: info)
                return response
            },
            .unary("ListContainerStats") { (request: Runtime_V1_ListContainerStatsRequest, _) in
                var response = Runtime_V1_ListContainerStatsResponse()
                response.stats = try await stats(request.filter)
                return response
            },
            .serverStreaming("StreamContainerStats") {
                (
                    request: Runtime_V1_StreamContainerStatsRequest, _,
                    send: @escaping @Sendable (Runtime_V1_StreamContainerStatsResponse) async throws -> Void
                ) in
                for part in try await stats(request.filter).batches(of: Self.batch) {
                    var response = Runtime_V1_StreamContainerStatsResponse()
                    response.containerStats = Array(part)
                    try await send(response)
                }
            },
        ]
            + Unimplemented.methods(of: name, ["PodSandboxStats", "ListPodSandboxStats", "StreamPodSandboxStats"])
    }

    /// Of those that run; one that fails costs nobody else his.
    private func stats(_ filter: Runtime_V1_ContainerStatsFilter) async throws -> [Runtime_V1_ContainerStats] {
        let wanted = try await engine.containers(in: Self.namespace).filter { info in
            info.state == .running && (filter.id.isEmpty || info.id.rawValue.hasPrefix(filter.id))
                && (filter.podSandboxID.isEmpty || info.pod.rawValue.hasPrefix(filter.podSandboxID))
                && filter.labelSelector.allSatisfy { info.spec.labels[$0.key] == $0.value }
        }
        return await withTaskGroup(of: (Int, Runtime_V1_ContainerStats?).self) { group in
            var found: [(Int, Runtime_V1_ContainerStats)] = []
            func take(_ result: (Int, Runtime_V1_ContainerStats?)?) {
                if let result, let stats = result.1 { found.append((result.0, stats)) }
            }
            for (index, info) in wanted.enumerated() {
                if index >= Self.statsWidth { take(await group.next()) }
                group.addTask {
                    do { return (index, try await stats(of: info)) } catch {
                        logger.debug("no stats", metadata: ["container": "\(info.id)", "error": "\(error)"])
                        return (index, nil)
                    }
                }
            }
            for await result in group { take(result) }
            return found.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func stats(of info: ContainerInfo) async throws -> Runtime_V1_ContainerStats {
        var stats = Runtime_V1_ContainerStats()
        stats.attributes.id = info.id.rawValue
        stats.attributes.metadata.name = info.spec.name
        stats.attributes.metadata.attempt = info.spec.attempt
        stats.attributes.labels = info.spec.labels
        stats.attributes.annotations = info.spec.annotations
        if let layer = await usage.writableLayer(info.snapshotKey, of: info.snapshotter, in: info.namespace) {
            stats.writableLayer = layer
        }
        guard info.state == .running else { return stats }
        let cgroup = try CgroupUsage(try await engine.containerMetrics(info.id, in: info.namespace))
        let time = Timestamp.now().nanoseconds
        let rate = rates.rate(of: info.id, usage: cgroup.cpuNanoseconds, at: time)
        stats.cpu = cgroup.cpuMessage(at: time, nanoCores: rate)
        stats.memory = cgroup.memoryMessage(at: time)
        stats.swap = cgroup.swapMessage(at: time)
        return stats
    }
}
