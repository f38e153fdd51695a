internal import BerthBase
internal import BerthServices

extension LocalPodEngine {
    /// The longest grace period; longer ones are cut to it.
    static let maxGrace: Duration = .seconds(7 * 24 * 3600)

    func stopContainer(_ id: ContainerID, in namespace: NamespaceID, timeout: Duration) async throws {
        guard let row = try await foundContainer(id, in: namespace) else { return }
        claimed.add(row.origin.pod)
        let grace = min(max(timeout, .zero), Self.maxGrace)
        // A call with another grace period does not join: the kubelet shortens it to hurry a pod that is going.
        let key = OperationKey(
            kind: "StopContainer", identity: "\(row.id)/\(grace)", subject: row.spec.name)
        try await services.operations.run(
            key, deadline: grace + Self.killPatience + .seconds(30), abandon: nil
        ) { stage in
            try await during("stop container '\(row.id)'") { try await self.stopNow(row.id, grace: grace, stage) }
        }
    }

    /// Nil for a missing one, which is what stop and removal want.
    func foundContainer(_ id: ContainerID, in namespace: NamespaceID) async throws -> ContainerRow? {
        do { return try await findContainer(id, in: namespace) } catch let error as BerthError
            where error.code == .notFound
        {
            return nil
        }
    }

    private func stopNow(_ id: ContainerID, grace: Duration, _ stage: any OperationStage) async throws {
        // One that is being started is stopped once it runs.
        if table.container(id)?.status.phase == .starting {
            stage.enter("wait for the start", waitingFor: "StartContainer")
            try await lanes.run("container/\(id)") {}
        }
        guard let row = table.container(id), row.status.phase == .running, !row.hasEnded else { return }
        if grace > .zero {
            stage.enter("stop signal", waitingFor: "the process, at most \(grace)")
            try await signal(row, try SignalName.number(row.origin.stopSignal), all: false)
            if try await ended(id, within: grace) { return }
        }
        stage.enter("SIGKILL", waitingFor: "the process, at most \(Self.killPatience)")
        try await killAndWait(id)
    }

    /// Kills everything in the container and waits for its end.
    /// - Throws: `deadlineExceeded` when the kernel does not let it end, as in a hung mount.
    func killAndWait(_ id: ContainerID) async throws {
        guard let row = table.container(id), !row.hasEnded else { return }
        try await signal(row, 9, all: true)
        guard try await ended(id, within: Self.killPatience) else {
            throw BerthError(
                .deadlineExceeded,
                "container '\(id)' has not ended \(Self.killPatience) after SIGKILL: a process hangs in the kernel"
            )
        }
    }

    /// Sends a signal; if the process has ended already its exit is recorded.
    private func signal(_ row: ContainerRow, _ number: Int32, all: Bool) async throws {
        do { try await services.tasks.kill(row.ref, signal: number, all: all) } catch let error as BerthError
            where error.code == .notFound || error.code == .failedPrecondition
        {
            let info = try? await services.tasks.info(row.ref)
            if let exit = info?.exit {
                try await recordExit(row.id, exit)
            } else if info == nil, table.container(row.id)?.status.phase == .running {
                try await recordExit(
                    row.id, ExitStatus(code: Self.unknownExit, exitedAt: .now()),
                    note: "its shim does not know it any more")
            }
        }
    }

    /// Whether it has ended within the time. A missing one has.
    private func ended(_ id: ContainerID, within time: Duration) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                do { _ = try await self.table.ended(id) } catch let error as BerthError where error.code == .notFound {}
                return true
            }
            group.addTask {
                try await Task.sleep(for: time)
                return false
            }
            let first = try await group.next() ?? false
            group.cancelAll()
            return first
        }
    }
}
