internal import BerthBase
internal import BerthServices
internal import Logging

extension LocalPodEngine {
    /// Records exits as they are learnt, until the stream ends.
    func followExits(_ exits: AsyncStream<(TaskRef, ExitStatus)>) async {
        for await (ref, exit) in exits {
            guard let row = table.container(ref.container), row.namespace == ref.namespace else { continue }
            if let error = await problem({ try await recordExit(row.id, exit, note: exit.lossReason) }) {
                logger.error("an exit was not recorded", metadata: ["container": "\(row.id)", "error": "\(error)"])
            }
        }
    }

    /// Commits how and when a container ended; then its task goes, its status stays. The first word counts.
    func recordExit(_ id: ContainerID, _ exit: ExitStatus, note: String = "") async throws {
        let before = table.container(id)
        let row: ContainerRow
        do {
            row = try await commit(id) { row in
                guard !row.hasEnded, row.status.phase != .created else { return }
                if row.status.phase != .removing { row.status.phase = .exited }
                row.status.finishedAt = exit.exitedAt
                row.status.exitCode = Int32(truncatingIfNeeded: exit.code)
                row.status.reason = Self.reason(exit, note)
                row.status.message = note
                row.status.pid = 0
                row.status.silent = false
            }
        } catch let error as BerthError where error.code == .notFound { return }
        guard before?.hasEnded == false, row.hasEnded else { return }
        announce(.stopped, row, at: exit.exitedAt)
        processes.forget(id)
        // The shim may forget it now: the row has it. A later removal asks again.
        if row.status.phase == .exited,
            let error = await problem({ _ = try await services.tasks.delete(row.ref, force: true) })
        {
            logger.warning(
                "the task of an ended container is left", metadata: ["container": "\(id)", "error": "\(error)"])
        }
    }

    private static func reason(_ exit: ExitStatus, _ note: String) -> String {
        if !note.isEmpty { return "Unknown" }
        if exit.oomKilled { return "OOMKilled" }
        return exit.code == 0 ? "Completed" : "Error"
    }

    /// Pods whose shim ended or went silent are not ready any more.
    func followLosses(_ losses: AsyncStream<(NamespaceID, PodID, SandboxStatus)>) async {
        for await (namespace, id, status) in losses {
            guard let row = table.pod(id), row.namespace == namespace, row.status.phase == .ready else { continue }
            logger.error("a pod lost its sandbox", metadata: ["pod": "\(id)", "error": "\(status.reason)"])
            await record("the loss of a pod's sandbox is not recorded", ["pod": "\(id)"]) {
                try await commit(id) { row in
                    guard row.status.phase == .ready else { return }
                    row.status.phase = .stopping
                    row.status.reason = status.reason
                }
            }
            for container in table.containers(of: id) where !container.hasEnded {
                await settle(container)
            }
            if let row = table.pod(id) { announce(.stopped, row) }
        }
    }

    func waitContainer(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerInfo {
        let row = try await findContainer(id, in: namespace)
        return try await table.ended(row.id).info
    }
}
