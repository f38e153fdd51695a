internal import BerthBase
package import BerthServices
internal import BerthShimAPI
internal import BerthShimClient
internal import Glibc
internal import Logging

extension ShimTaskManager {
    package func create(_ ref: TaskRef, _ request: TaskRequest) async throws -> TaskInfo {
        try await during("create task '\(ref.container)'") {
            try await lanes.run(ref) { try await createNow(ref, request) }
        }
    }

    private func createNow(_ ref: TaskRef, _ request: TaskRequest) async throws -> TaskInfo {
        if entries[ref] != nil { throw BerthError(.alreadyExists, "there is one") }
        let sandbox = request.sandbox?.rawValue ?? ""
        let key = ShimKey(ref.namespace, sandbox.isEmpty ? ref.container.rawValue : sandbox)
        let bundle = shims.bundle(of: ShimKey(ref.namespace, ref.container.rawValue))
        entries[ref] = TaskEntry(shim: key, bundle: bundle, isCreating: true)
        do {
            let shim = try await place(ref, request, key)
            FaultPoint.hit("task.before-create")
            let message = Self.message(ref, request, bundle)
            // A task of its own: a caller that is cancelled must not leave a task that nobody knows of.
            let pid = try await Task { try await shim.create(message) }.value
            FaultPoint.hit("task.after-create")
            entries[ref]?.created(pid: pid)
            follow(shim)
            return entries[ref]?.info ?? TaskInfo(state: .created, pid: pid, exit: nil)
        } catch {
            // Its own task: the caller may be cancelled, and nothing must be left.
            await Task { await self.undoCreate(ref) }.value
            throw error
        }
    }

    /// Makes the bundle, in the sandbox's shim or with a shim of its own.
    private func place(_ ref: TaskRef, _ request: TaskRequest, _ key: ShimKey) async throws -> Shim {
        let own = ShimKey(ref.namespace, ref.container.rawValue)
        guard let sandbox = request.sandbox?.rawValue else {
            let intent = BundleIntent(kind: .task, runtime: request.runtime)
            return try await shims.launch(ShimRequest(own, intent, spec: request.spec))
        }
        let shim: Shim
        do { shim = try await shims.shim(key) } catch let error as BerthError where error.code == .notFound {
            throw BerthError(.notFound, "there is no sandbox '\(sandbox)'")
        }
        let intent = BundleIntent(kind: .task, runtime: "", sandbox: sandbox)
        _ = try await shims.makeBundle(ShimRequest(own, intent, spec: request.spec))
        return shim
    }

    private static func message(_ ref: TaskRef, _ request: TaskRequest, _ bundle: ShimBundle) -> CreateTaskRequest {
        var message = CreateTaskRequest()
        message.id = ref.container.rawValue
        message.bundle = bundle.path
        message.rootfs = request.rootfs.map { mount in
            var message = MountMessage()
            (message.type, message.source, message.target) = (mount.type, mount.source, mount.target)
            message.options = mount.options
            return message
        }
        message.terminal = request.stdio.terminal
        (message.stdin, message.stdout, message.stderr) = (
            request.stdio.stdin, request.stdio.stdout, request.stdio.stderr
        )
        message.options = request.options.map { WireAny(typeURL: $0.typeURL, value: $0.value) }
        return message
    }

    private func undoCreate(_ ref: TaskRef) async {
        guard let entry = entries[ref] else { return }
        do {
            if let shim = try? await shims.shim(entry.shim) {
                let id = ref.container.rawValue
                try? await shim.kill(id, signal: SIGKILL, all: true)
                if (try? await shim.wait(for: id, within: .seconds(5))) != nil { _ = try? await shim.delete(id) }
            }
            try await removeBundle(entry, ref)
        } catch {
            logger.warning("a bundle is left", metadata: ["bundle": "\(entry.bundle.path)", "error": "\(error)"])
        }
        forget(ref)
    }

    /// Removes the bundle: with its shim, if it has one of its own.
    func removeBundle(_ entry: TaskEntry, _ ref: TaskRef) async throws {
        guard entry.shim.id != ref.container.rawValue else { return try await shims.retire(entry.shim) }
        let bundle = entry.bundle
        try await Blocking.run(on: Blocking.foreign, "remove bundle '\(bundle.id)'", deadline: .seconds(10)) {
            try bundle.killRemains()
            try bundle.removeCgroup()
            try bundle.remove()
        }
    }

    /// Drops a task that is no more; who still waits is told.
    func forget(_ ref: TaskRef) {
        guard let entry = entries.removeValue(forKey: ref) else { return }
        for waiter in (waiters.removeValue(forKey: ref) ?? [:]).values { waiter.resume(throwing: Self.missing(ref)) }
        monitors.removeValue(forKey: ShimKey(ref.namespace, ref.container.rawValue))?.cancel()
        if !entries.values.contains(where: { $0.shim == entry.shim }) {
            monitors.removeValue(forKey: entry.shim)?.cancel()
        }
    }

    package func start(_ ref: TaskRef) async throws -> TaskInfo {
        try await during("start task '\(ref.container)'") {
            try await lanes.run(ref) {
                let entry = try await entry(ref)
                guard entry.state == .created || entry.state == .unknown else {
                    throw BerthError(.failedPrecondition, "it is \(entry.state.rawValue), not created")
                }
                let shim = try await shims.shim(entry.shim)
                // A task of its own: what has started must be known to run.
                let pid = try await Task { try await shim.start(ref.container.rawValue) }.value
                FaultPoint.hit("task.after-start")
                entries[ref]?.started(pid: pid)
                return entries[ref]?.info ?? TaskInfo(state: .running, pid: pid, exit: nil)
            }
        }
    }

    package func kill(_ ref: TaskRef, signal: Int32, all: Bool) async throws {
        let entry = try await entry(ref)
        guard entry.exit == nil || all else {
            throw BerthError(.notFound, "send signal \(signal) to task '\(ref.container)': its process has ended")
        }
        try await during("send signal \(signal) to task '\(ref.container)'") {
            try await shims.shim(entry.shim).kill(ref.container.rawValue, signal: signal, all: all)
        }
    }

    package func delete(_ ref: TaskRef, force: Bool) async throws -> ExitStatus? {
        guard entries[ref] != nil else { return nil }
        return try await during("delete task '\(ref.container)'") {
            try await lanes.run(ref) { try await deleteNow(ref, force) }
        }
    }

    private func deleteNow(_ ref: TaskRef, _ force: Bool) async throws -> ExitStatus? {
        let entry: TaskEntry
        do { entry = try await self.entry(ref) } catch let error as BerthError where error.code == .notFound {
            return nil
        }
        if entry.exit == nil && !force {
            throw BerthError(.failedPrecondition, "it is \(entry.state.rawValue), not stopped")
        }
        do {
            let shim = try await shims.shim(entry.shim)
            if entry.exit == nil { try await end(ref, in: shim) }
            let answer = try await shim.delete(ref.container.rawValue)
            record(ExitStatus(code: answer.exitStatus, exitedAt: answer.exitedAt ?? .now()), of: ref)
        } catch let error as BerthError where error.code == .notFound || error.code == .unavailable {
            // Deleted before, or its shim is lost: what is left is removed below.
            if error.code == .unavailable, await shims.loss(of: entry.shim) == nil { throw error }
        }
        FaultPoint.hit("task.after-delete")
        let exit = entries[ref]?.exit
        try await removeBundle(entry, ref)
        forget(ref)
        return exit
    }

    /// Kills a task and waits until its exit is known.
    private func end(_ ref: TaskRef, in shim: Shim) async throws {
        do { try await shim.kill(ref.container.rawValue, signal: SIGKILL, all: true) } catch let error as BerthError
            where error.code == .notFound || error.code == .failedPrecondition
        {
            // It ended by itself just now.
        }
        let waiting = Task { _ = try? await self.wait(ref) }
        await ShimRegistry.wait(for: waiting, atMost: Self.exitPatience)
        waiting.cancel()
        guard entries[ref] == nil || entries[ref]?.exit != nil else {
            throw BerthError(.deadlineExceeded, "killed, but not reported as ended within \(Self.exitPatience)")
        }
    }

    package func pause(_ ref: TaskRef) async throws {
        try await during("pause task '\(ref.container)'") {
            try await shim(of: ref).pause(ref.container.rawValue)
            entries[ref]?.paused(true)
        }
    }

    package func resume(_ ref: TaskRef) async throws {
        try await during("resume task '\(ref.container)'") {
            try await shim(of: ref).resume(ref.container.rawValue)
            entries[ref]?.paused(false)
        }
    }
}
