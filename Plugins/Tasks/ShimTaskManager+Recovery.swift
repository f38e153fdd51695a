internal import BerthBase
internal import BerthServices
internal import BerthShimAPI
internal import BerthShimClient
internal import Logging

extension ShimTaskManager {
    /// Asks the shim for a task of the daemon's earlier life.
    func recover(_ ref: TaskRef) async {
        guard let entry = entries[ref] else { return }
        do {
            let shim = try await shims.shim(entry.shim)
            // First: the exits of one that hangs now are still to be learnt when it goes on.
            follow(shim)
            try await ask(shim, about: ref, within: Self.statePatience)
        } catch let error as BerthError where error.code == .notFound {
            // Its creation, or its deletion, was cut short: nobody was told that it is there.
            await undo(entry, ref)
        } catch {
            // A lost shim is reported as such; one that hangs keeps its task, in an unknown state.
            logger.warning("a task was not recovered", metadata: ["task": "\(ref.container)", "error": "\(error)"])
        }
        entries[ref]?.recovering = nil
    }

    private func undo(_ entry: TaskEntry, _ ref: TaskRef) async {
        do {
            try await removeBundle(entry, ref)
            forget(ref)
        } catch {
            logger.warning("a bundle is left", metadata: ["bundle": "\(entry.bundle.path)", "error": "\(error)"])
        }
    }

    /// Learns a task's state from its shim.
    func ask(_ shim: Shim, about ref: TaskRef, within patience: Duration) async throws {
        let answer = try await shim.state(of: ref.container.rawValue, within: patience)
        switch answer.status {
        case .created: entries[ref]?.learned(.created, pid: answer.pid)
        case .running: entries[ref]?.learned(.running, pid: answer.pid)
        case .paused, .pausing: entries[ref]?.learned(.paused, pid: answer.pid)
        case .stopped:
            // Our own shims tell exits with more in them; the follower asks for those.
            guard !shim.can(ShimCapability.exits) else { return try await askExits(shim, of: ref) }
            record(ExitStatus(code: answer.exitStatus, exitedAt: answer.exitedAt ?? .now()), of: ref)
        default: entries[ref]?.learned(.unknown, pid: answer.pid)
        }
    }

    private func askExits(_ shim: Shim, of ref: TaskRef) async throws {
        for exit in try await shim.exits(after: 0) { take(exit, ref.namespace) }
    }

    // MARK: exits

    /// Begins to learn the exits of a shim's tasks, unless that is being done.
    func follow(_ shim: Shim) {
        guard shim.can(ShimCapability.exits) else { return followEach(shim) }
        guard monitors[shim.key] == nil else { return }
        let key = shim.key
        monitors[key] = Task { await self.followExits(of: key) }
    }

    private func followExits(of key: ShimKey) async {
        var last: UInt64 = 0
        while !Task.isCancelled {
            do {
                for exit in try await shims.shim(key).exits(after: last) {
                    last = max(last, exit.sequence)
                    take(exit, key.namespace)
                }
            } catch let error as BerthError where error.code == .notFound || error.code == .cancelled {
                break
            } catch {
                // The connection was lost: the next turn finds a new one, or that the shim is lost.
                if await shims.loss(of: key) != nil { break }
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
        if !Task.isCancelled { monitors[key] = nil }
    }

    private func take(_ exit: ShimExit, _ namespace: NamespaceID) {
        guard exit.execID.isEmpty else { return }
        let ref = TaskRef(namespace, ContainerID(exit.containerID))
        record(
            ExitStatus(code: exit.exitStatus, exitedAt: exit.exitedAt ?? .now(), oomKilled: exit.oomKilled), of: ref)
    }

    /// The shims of others are asked for each task.
    private func followEach(_ shim: Shim) {
        for (ref, entry) in entries where entry.shim == shim.key && entry.exit == nil {
            let key = ShimKey(ref.namespace, ref.container.rawValue)
            // A sandbox's shim has many tasks; the key of its monitors is each task's.
            guard monitors[key] == nil else { continue }
            monitors[key] = Task { await self.followExit(of: ref, in: shim.key, as: key) }
        }
    }

    private func followExit(of ref: TaskRef, in key: ShimKey, as monitor: ShimKey) async {
        while !Task.isCancelled, entries[ref]?.exit == nil {
            do {
                let answer = try await shims.shim(key).wait(for: ref.container.rawValue)
                let oomKilled = await shims.takeOutOfMemory(monitor)
                record(
                    ExitStatus(code: answer.exitStatus, exitedAt: answer.exitedAt ?? .now(), oomKilled: oomKilled),
                    of: ref)
            } catch let error as BerthError where error.code == .notFound || error.code == .cancelled {
                break
            } catch {
                if await shims.loss(of: key) != nil { break }
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
        if !Task.isCancelled { monitors[monitor] = nil }
    }

    /// A shim is no more: its tasks ended with what it had recorded, else as killed, and nothing of them goes on.
    func lost(_ loss: ShimLoss) async {
        for exit in loss.exits { take(exit, loss.key.namespace) }
        for (ref, entry) in entries where entry.shim == loss.key {
            let bundle = entry.bundle
            do {
                try await Blocking.run(on: Blocking.foreign, "kill task '\(ref.container)'", deadline: .seconds(10)) {
                    try bundle.killRemains()
                }
            } catch {
                logger.error(
                    "a task of a lost shim may go on", metadata: ["task": "\(ref.container)", "error": "\(error)"])
            }
            record(ExitStatus(code: 137, exitedAt: loss.lostAt, lossReason: loss.reason), of: ref)
        }
    }
}
