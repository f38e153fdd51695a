internal import BerthBase
internal import BerthServices
internal import Logging

extension LocalPodEngine {
    /// How long one pod's recovery may take before calls go on with what its row says.
    static let recoveryDeadline: Duration = .seconds(30)

    /// Reads the rows and begins to look at each pod. Returns at once: calls on a pod wait for that pod.
    func recover() async throws {
        let (pods, containers) = try await rows.load()
        for row in pods { table.put(row) }
        for row in containers { table.put(row) }
        for row in pods {
            recovery.begin(row.id) { await self.recover(row) }
        }
        // A container without its pod is left of a removal that a crash cut short.
        let known = Set(pods.map(\.id))
        for row in containers where !known.contains(row.origin.pod) {
            recovery.begin(row.origin.pod) { await self.removeOrphans(of: row.origin.pod) }
        }
    }

    /// Undoes creates that a crash cut short: the snapshot, the files, the lease.
    func dropUnfinishedCreates(_ creates: [UnfinishedCreate]) async {
        for create in creates {
            let error = await problem {
                // A lease outlives its create only if no row was committed with its deletion.
                if table.container(create.container) == nil {
                    for snapshotter in create.snapshotters {
                        try await removeSnapshot(
                            SnapshotKey(create.container.rawValue), of: snapshotter, in: create.namespace)
                    }
                    try await files.removeContainer(create.container)
                }
                try await rows.deleteLease(create.lease, in: create.namespace)
            }
            if let error {
                logger.error(
                    "a create that was cut short is not undone",
                    metadata: ["container": "\(create.container)", "error": "\(error)"])
            }
        }
    }

    /// Removes a container's snapshot; a missing one is success.
    func removeSnapshot(_ key: SnapshotKey, of snapshotter: String, in namespace: NamespaceID) async throws {
        let target = SnapshotTarget(snapshotter, in: namespace)
        do { try await services.snapshots.remove(key, on: target) } catch let error as BerthError
            where error.code == .notFound
        {}
    }

    func recovered() async { await recovery.all() }

    private func recover(_ row: PodRow) async {
        let done = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await self.services.tasks.recovered()
                if let controller = self.services.sandboxes[row.origin.sandboxer] { await controller.recovered() }
                if let error = await self.problem({ try await self.adoptOrUndo(row) }) {
                    self.logger.error(
                        "a pod was not recovered", metadata: ["pod": "\(row.id)", "error": "\(error)"])
                }
                return true
            }
            group.addTask {
                try? await Task.sleep(for: Self.recoveryDeadline)
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
        if !done {
            logger.error("a pod's recovery took too long; its row is believed", metadata: ["pod": "\(row.id)"])
        }
    }

    /// What was being made is undone, what was going goes, what was there is looked at.
    private func adoptOrUndo(_ row: PodRow) async throws {
        switch row.status.phase {
        case .starting:
            logger.notice("undoing a pod that was being made", metadata: ["pod": "\(row.id)"])
            try await lanes.run("pod/\(row.id)") { try await removeNow(row.id, nil) }
        case .removing: try await lanes.run("pod/\(row.id)") { try await removeNow(row.id, nil) }
        case .stopping: try await lanes.run("pod/\(row.id)") { try await stopNow(row.id, nil) }
        case .stopped: await recoverContainers(of: row.id)
        case .ready:
            let status = try await statusOrLoss(row)
            try await commit(row.id) { row in
                if status.ready {
                    row.status.pid = status.pid
                } else {
                    row.status.phase = .stopping
                    row.status.pid = 0
                    row.status.reason = status.reason
                }
            }
            await recoverContainers(of: row.id)
        }
    }

    private func statusOrLoss(_ row: PodRow) async throws -> SandboxStatus {
        do { return try await controller(row).status(row.id, in: row.namespace) } catch {
            return SandboxStatus(ready: false, pid: 0, createdAt: row.origin.createdAt, reason: "\(error)")
        }
    }

    private func recoverContainers(of id: PodID) async {
        await withTaskGroup(of: Void.self) { group in
            for row in table.containers(of: id) { group.addTask { await self.recover(row) } }
        }
    }

    private func recover(_ row: ContainerRow) async {
        let error = await problem {
            switch row.status.phase {
            case .created: break
            case .starting: try await recoverStart(row)
            case .running: await settle(row)
            case .exited: _ = try await services.tasks.delete(row.ref, force: true)
            case .removing: try await lanes.run("container/\(row.id)") { try await removeContainerNow(row.id) }
            }
        }
        if let error {
            logger.error("a container was not recovered", metadata: ["container": "\(row.id)", "error": "\(error)"])
        }
    }

    /// A start that was cut short: what runs is taken, what waits is taken back, so that the same call succeeds.
    private func recoverStart(_ row: ContainerRow) async throws {
        let info = try? await services.tasks.info(row.ref)
        switch info?.state {
        case .running, .paused:
            try await commit(row.id) { now in
                (now.status.phase, now.status.pid) = (.running, info?.pid ?? 0)
                now.status.startedAt = .now()
            }
        case .stopped:
            try await commit(row.id) { $0.status.startedAt = info?.exit?.exitedAt ?? .now() }
            await settle(row)
        case .created, .unknown, nil:
            _ = try await services.tasks.delete(row.ref, force: true)
            try await commit(row.id) { $0.status.phase = .created }
        }
    }

    /// Brings a running container's row up to date with what its shim says.
    func settle(_ row: ContainerRow) async {
        let result: Result<TaskInfo, any Error>
        do { result = .success(try await services.tasks.info(row.ref)) } catch { result = .failure(error) }
        let error = await problem {
            switch result {
            case .success(let info):
                if let exit = info.exit {
                    try await recordExit(row.id, exit)
                } else if info.state == .unknown {
                    try await commit(row.id) { now in
                        (now.status.silent, now.status.reason) = (true, "Unknown")
                        now.status.message = "its shim does not answer"
                    }
                } else if info.state != .stopped {
                    try await commit(row.id) { now in
                        now.status.pid = info.pid
                        if now.status.silent {
                            (now.status.silent, now.status.reason, now.status.message) = (false, "", "")
                        }
                    }
                }
            case .failure(let error as BerthError) where error.code == .notFound:
                try await recordExit(
                    row.id, ExitStatus(code: Self.unknownExit, exitedAt: .now()),
                    note: "its shim ended and told no exit status")
            case .failure(let error):
                try await commit(row.id) { now in
                    (now.status.silent, now.status.reason) = (true, "Unknown")
                    now.status.message = "\(error)"
                }
            }
        }
        if let error {
            logger.error("a container was not settled", metadata: ["container": "\(row.id)", "error": "\(error)"])
        }
    }

    private func removeOrphans(of pod: PodID) async {
        for row in table.containers(of: pod) {
            if let error = await problem({ try await removeContainerNow(row.id) }) {
                logger.error("an orphan was not removed", metadata: ["container": "\(row.id)", "error": "\(error)"])
            }
        }
    }
}
