internal import BerthBase
internal import BerthServices

extension LocalPodEngine {
    static let removeContainerDeadline: Duration = .seconds(90)

    func removeContainer(_ id: ContainerID, in namespace: NamespaceID) async throws {
        guard let row = try await foundContainer(id, in: namespace) else { return }
        let key = OperationKey(kind: "RemoveContainer", identity: row.id.rawValue, subject: row.spec.name)
        try await services.operations.run(key, deadline: Self.removeContainerDeadline, abandon: nil) { stage in
            stage.enter("remove", waitingFor: "the shim, the snapshotter")
            try await during("remove container '\(row.id)'") {
                try await self.lanes.run("container/\(row.id)") { try await self.removeContainerNow(row.id) }
            }
        }
    }

    /// Kill → intent → task → root file system → files → record. In the container's lane.
    func removeContainerNow(_ id: ContainerID) async throws {
        guard let row = table.container(id) else { return }
        FaultPoint.hit("cri.RemoveContainer.begin")
        if row.status.phase == .running || row.status.phase == .starting { try await killAndWait(id) }
        FaultPoint.hit("cri.RemoveContainer.killed")
        try await commit(id) { $0.status.phase = .removing }
        FaultPoint.hit("cri.RemoveContainer.removing")
        _ = try await services.tasks.delete(row.ref, force: true)
        FaultPoint.hit("cri.RemoveContainer.task")
        try await removeSnapshot(row.origin.snapshotKey, of: row.origin.snapshotter, in: row.namespace)
        FaultPoint.hit("cri.RemoveContainer.snapshot")
        try await files.removeContainer(id)
        FaultPoint.hit("cri.RemoveContainer.files")
        try await rows.delete(row)
        table.remove(row)
        processes.forget(id)
        FaultPoint.hit("cri.RemoveContainer.removed")
        announce(.deleted, row)
    }
}
