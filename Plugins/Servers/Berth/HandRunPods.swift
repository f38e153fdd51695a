internal import BerthBase
internal import BerthServices
internal import Logging

/// The pods that `berth run` made: each ends when its container does, and is removed then if that was asked for.
///
/// What is to happen is an annotation of the pod, so that it happens after a restart of the daemon too.
actor HandRunPods {
    /// The annotation that marks such a pod.
    static let mark = "berth.run"
    /// Its pod is removed when it has exited.
    static let removed = "remove"
    /// Its pod gives back its network and its processes when it has exited; status and log stay.
    static let kept = "keep"
    /// How long the status and the log of one that is to be removed can be asked for at least.
    static let grace = Duration.seconds(2)
    /// How long those that were asked for in time may take to be read.
    static let maxGrace = Duration.seconds(30)

    /// Who makes a pod of a name.
    let names = KeyedLanes<String>()
    private let pods: any PodEngine
    private let logger: Logger
    /// Calls that read the status or log of a container.
    private var watchers: [ContainerID: Int] = [:]
    private var ending: Set<PodID> = []

    init(pods: any PodEngine, logger: Logger) {
        self.pods = pods
        self.logger = logger
    }

    nonisolated static func isOurs(_ pod: PodInfo) -> Bool { pod.spec.annotations[mark] != nil }

    /// Runs a call that reads a container: it is not removed before the call has ended.
    nonisolated func watched<T: Sendable>(_ id: ContainerID, _ body: () async throws -> T) async throws -> T {
        await enter(id)
        do {
            let value = try await body()
            await leave(id)
            return value
        } catch {
            await leave(id)
            throw error
        }
    }

    private func enter(_ id: ContainerID) { watchers[id, default: 0] += 1 }

    private func leave(_ id: ContainerID) {
        guard let count = watchers[id] else { return }
        watchers[id] = count > 1 ? count - 1 : nil
    }

    /// Ends the pods whose containers have exited, those of before the start first.
    func watch() async throws {
        await pods.recovered()
        while !Task.isCancelled {
            // Subscribed before looking, so that nothing falls between; a subscription that fell behind is begun anew.
            let changes = await pods.changes()
            for container in try await pods.containers(in: nil) where container.state == .exited {
                end(container.pod, container.id, container.namespace)
            }
            for await change in changes where change.kind == .stopped {
                if let container = change.container { end(change.pod, container, change.namespace) }
            }
            try await Task.sleep(for: .seconds(1))
        }
    }

    private func end(_ pod: PodID, _ container: ContainerID, _ namespace: NamespaceID) {
        guard namespace == BerthService.defaultNamespace, ending.insert(pod).inserted else { return }
        Task {
            do { try await finish(pod, container, namespace) } catch {
                logger.warning(
                    "the pod of a container that has exited stays", metadata: ["pod": "\(pod)", "error": "\(error)"])
            }
            ending.remove(pod)
        }
    }

    private func finish(_ id: PodID, _ container: ContainerID, _ namespace: NamespaceID) async throws {
        let pod: PodInfo
        do { pod = try await pods.pod(id, in: namespace) } catch let error as BerthError where error.code == .notFound {
            return
        }
        guard let wish = pod.spec.annotations[Self.mark] else { return }
        if wish == Self.kept {
            if pod.state == .ready { try await pods.stopPod(id, in: namespace) }
            return
        }
        let begin = ContinuousClock.now
        try await Task.sleep(for: Self.grace)
        while watchers[container] != nil, ContinuousClock.now - begin < Self.maxGrace {
            try await Task.sleep(for: .milliseconds(50))
        }
        try await pods.removePod(id, in: namespace)
    }
}
