internal import BerthBase
internal import BerthServices
internal import Logging

extension LocalPodEngine {
    static let startDeadline: Duration = .seconds(120)
    /// The exit code of a container that could not be started, as containerd has it.
    static let startErrorExit: UInt32 = 128

    func startContainer(_ id: ContainerID, in namespace: NamespaceID) async throws {
        let row = try await findContainer(id, in: namespace)
        claimed.add(row.origin.pod)
        let key = OperationKey(kind: "StartContainer", identity: row.id.rawValue, subject: row.spec.name)
        try await services.operations.run(key, deadline: Self.startDeadline, abandon: nil) { stage in
            try await during("start container '\(row.id)'") {
                try await self.lanes.run("container/\(row.id)") { try await self.startNow(row.id, stage) }
            }
        }
    }

    /// Intent → task (its process waits) → start → running. In the container's lane.
    private func startNow(_ id: ContainerID, _ stage: any OperationStage) async throws {
        guard let row = table.container(id) else { throw PodTable.missing(id) }
        guard row.status.phase == .created else {
            throw BerthError(.failedPrecondition, "it is \(row.status.phase), not created")
        }
        guard let pod = table.pod(row.origin.pod), pod.status.phase == .ready else {
            throw BerthError(.failedPrecondition, "its pod '\(row.origin.pod)' is not ready")
        }
        FaultPoint.hit("cri.StartContainer.begin")
        try await commit(id) { $0.status.phase = .starting }
        FaultPoint.hit("cri.StartContainer.starting")
        do {
            stage.enter("create task", waitingFor: "the shim")
            let request = try await taskRequest(row)
            FaultPoint.hit("cri.StartContainer.mounts")
            _ = try await services.tasks.create(row.ref, request)
            FaultPoint.hit("cri.StartContainer.created")
            stage.enter("start task", waitingFor: "the shim")
            // Taken before: a process that ends at once has ended when the shim's answer is here.
            let began = Timestamp.now()
            let info = try await services.tasks.start(row.ref)
            FaultPoint.hit("cri.StartContainer.started")
            let started = try await commit(id) { row in
                row.status.startedAt = row.status.startedAt ?? began
                // Its exit may have been learnt before this answer.
                if row.status.phase == .starting { (row.status.phase, row.status.pid) = (.running, info.pid) }
            }
            FaultPoint.hit("cri.StartContainer.running")
            announce(.started, started)
            try await catchExit(started, info)
        } catch {
            await startFailed(row, error)
            throw Self.told(error)
        }
    }

    /// What was not found is the command or a path, not the container, which is what `notFound` would tell a client.
    private static func told(_ error: any Error) -> BerthError {
        let known = BerthError.wrapping(error)
        return known.code == .notFound ? BerthError(.failedPrecondition, known.message, cause: known.cause) : known
    }

    private func taskRequest(_ row: ContainerRow) async throws -> TaskRequest {
        let target = SnapshotTarget(row.origin.snapshotter, in: row.namespace)
        async let mounts = services.snapshots.mounts(of: row.origin.snapshotKey, on: target)
        let spec: [UInt8]
        if let kept = pendingSpecs.take(row.id) { spec = kept } else { spec = try await rows.spec(of: row) }
        let log = row.origin.logPath.isEmpty ? "" : "cri://\(row.origin.logPath)"
        let stdio = TaskStdio(stdin: row.origin.stdin, stdout: log, stderr: log, terminal: row.spec.terminal)
        return TaskRequest(
            spec: spec, rootfs: try await mounts, stdio: stdio, sandbox: row.origin.pod, runtime: row.origin.runtime)
    }

    /// A process that ended before `start` answered.
    private func catchExit(_ row: ContainerRow, _ info: TaskInfo) async throws {
        if info.state == .stopped, let exit = info.exit { try await recordExit(row.id, exit) }
    }

    private func startFailed(_ row: ContainerRow, _ error: any Error) async {
        if let problem = await problem({ _ = try await services.tasks.delete(row.ref, force: true) }) {
            logger.warning(
                "the task of a container that did not start is left",
                metadata: ["container": "\(row.id)", "error": "\(problem)"])
        }
        await record("the failed start of a container is not recorded", ["container": "\(row.id)"]) {
            try await commit(row.id) { row in
                guard row.status.phase == .starting else { return }
                row.status.phase = .exited
                row.status.finishedAt = .now()
                row.status.exitCode = Int32(Self.startErrorExit)
                row.status.reason = "StartError"
                row.status.message = "\(error)"
            }
        }
    }
}
