internal import BerthBase
internal import BerthServices
internal import Logging

extension LocalPodEngine {
    static let stopPodDeadline: Duration = .seconds(120)
    /// How long a stop waits for the network's teardown; after that it goes on by itself.
    static let detachPatience: Duration = .seconds(10)
    /// How long a killed container may take to end.
    static let killPatience: Duration = .seconds(15)

    func stopPod(_ id: PodID, in namespace: NamespaceID) async throws {
        guard let row = try await foundPod(id, in: namespace) else { return }
        claimed.add(row.id)
        let key = OperationKey(
            kind: "StopPodSandbox", identity: row.id.rawValue, subject: Self.subject(row.spec))
        try await services.operations.run(key, deadline: Self.stopPodDeadline, abandon: nil) { stage in
            try await during("stop pod '\(row.id)'") {
                try await self.lanes.run("pod/\(row.id)") { try await self.stopNow(row.id, stage) }
            }
        }
    }

    /// Nil for a missing one, which is what stop and removal want.
    func foundPod(_ id: PodID, in namespace: NamespaceID) async throws -> PodRow? {
        do { return try await findPod(id, in: namespace) } catch let error as BerthError where error.code == .notFound {
            return nil
        }
    }

    /// Intent → containers → (shim ∥ network) → files → stopped. In the pod's lane; a stopped one is left alone.
    func stopNow(_ id: PodID, _ stage: (any OperationStage)?) async throws {
        guard let row = table.pod(id) else { return }
        if row.status.phase == .stopped, row.status.leftovers.isEmpty { return }
        stage?.enter("begin", waitingFor: "database")
        FaultPoint.hit("cri.StopPodSandbox.begin")
        try await commit(id) { row in
            if row.status.phase != .removing { row.status.phase = .stopping }
        }
        FaultPoint.hit("cri.StopPodSandbox.stopping")
        stage?.enter("kill containers", waitingFor: "their processes")
        await killContainers(of: id)
        FaultPoint.hit("cri.StopPodSandbox.killed")
        stage?.enter("shim and network", waitingFor: "the shim, CNI plugins")
        async let network = outcome { try await self.services.network?.detach(pod: id, patience: Self.detachPatience) }
        async let sandbox = outcome {
            try await self.controller(row).stop(id, in: row.namespace, timeout: Self.killPatience)
        }
        let (detached, released) = (await network, await sandbox)
        try released.get()
        _ = try detached.get()
        FaultPoint.hit("cri.StopPodSandbox.released")
        try await settleContainers(of: id)
        stage?.enter("commit", waitingFor: "database")
        let stopped = try await commit(id) { row in
            if row.status.phase != .removing { row.status.phase = .stopped }
            row.status.pid = 0
            row.status.leftovers = []
        }
        FaultPoint.hit("cri.StopPodSandbox.stopped")
        announce(.stopped, stopped)
    }

    func problem(_ body: () async throws -> Void) async -> (any Error)? {
        do {
            try await body()
            return nil
        } catch { return error }
    }

    /// Kills all at once; one that does not end in time is the shim's to finish.
    private func killContainers(of id: PodID) async {
        await withTaskGroup(of: Void.self) { group in
            for row in table.containers(of: id) where row.status.phase == .running || row.status.phase == .starting {
                group.addTask {
                    if let error = await self.problem({ try await self.killAndWait(row.id) }) {
                        self.logger.warning(
                            "a container did not end when its pod was stopped",
                            metadata: ["pod": "\(id)", "container": "\(row.id)", "error": "\(error)"])
                    }
                }
            }
        }
    }

    /// The namespaces are gone, so nothing runs: containers whose exit was never reported have ended all the same.
    private func settleContainers(of id: PodID) async throws {
        for row in table.containers(of: id) where !row.hasEnded && row.status.phase != .created {
            let info = try? await services.tasks.info(row.ref)
            try await recordExit(
                row.id, info?.exit ?? ExitStatus(code: Self.unknownExit, exitedAt: .now()),
                note: info?.exit == nil ? "its pod was stopped and its shim told no exit status" : "")
        }
    }

    /// The exit code of a container whose end nobody saw.
    static let unknownExit: UInt32 = 255
}
