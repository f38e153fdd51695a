internal import BerthBase
internal import BerthServices

extension LocalPodEngine {
    static let removePodDeadline: Duration = .seconds(180)

    func removePod(_ id: PodID, in namespace: NamespaceID) async throws {
        guard let row = try await foundPod(id, in: namespace) else { return }
        let key = OperationKey(
            kind: "RemovePodSandbox", identity: row.id.rawValue, subject: Self.subject(row.spec))
        try await services.operations.run(key, deadline: Self.removePodDeadline, abandon: nil) { stage in
            try await during("remove pod '\(row.id)'") {
                try await self.lanes.run("pod/\(row.id)") { try await self.removeNow(row.id, stage) }
            }
        }
    }

    /// Intent → stop → containers → shim → files → record. In the pod's lane.
    func removeNow(_ id: PodID, _ stage: (any OperationStage)?) async throws {
        guard let row = table.pod(id) else { return }
        FaultPoint.hit("cri.RemovePodSandbox.begin")
        let mustStop = row.status.phase != .stopped || !row.status.leftovers.isEmpty
        try await commit(id) { $0.status.phase = .removing }
        FaultPoint.hit("cri.RemovePodSandbox.removing")
        if mustStop { try await stopNow(id, stage) }
        FaultPoint.hit("cri.RemovePodSandbox.stopped")
        stage?.enter("containers", waitingFor: "")
        for container in table.containers(of: id) {
            try await lanes.run("container/\(container.id)") { try await self.removeContainerNow(container.id) }
        }
        FaultPoint.hit("cri.RemovePodSandbox.containers")
        stage?.enter("shim", waitingFor: "the shim")
        try await controller(row).remove(id, in: row.namespace)
        FaultPoint.hit("cri.RemovePodSandbox.shim")
        try await files.remove(id)
        FaultPoint.hit("cri.RemovePodSandbox.files")
        try await rows.delete(row)
        table.remove(row)
        claimed.remove(id)
        FaultPoint.hit("cri.RemovePodSandbox.removed")
        announce(.deleted, row)
    }
}
