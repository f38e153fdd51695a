internal import BerthBase
internal import BerthShimAPI
internal import Glibc
internal import Logging

extension ShimRegistry {
    /// Makes the bundle, starts a shim in it and connects.
    ///
    /// - Throws: `alreadyExists`; `notFound` for a runtime that is not installed; the shim's words when it does not
    ///   start. Nothing is left then.
    package func launch(_ request: ShimRequest) async throws -> Shim {
        let key = request.key
        if entries[key] != nil { throw BerthError(.alreadyExists, "start a shim for '\(key)': there is one") }
        // A task of its own: a caller that is cancelled must not leave a shim that is neither here nor gone.
        let starting = Task { try await self.launchInBundle(request) }
        entries[key] = .starting(starting)
        do {
            let shim = try await starting.value
            entries[key] = .running(shim)
            watch(shim, request.intent)
            return shim
        } catch {
            entries[key] = nil
            throw BerthError.wrapping(error).during("start a shim for '\(key)'")
        }
    }

    private nonisolated func launchInBundle(_ request: ShimRequest) async throws -> Shim {
        let binary = try ShimBinary.find(request.intent.runtime)
        let bundle = try await makeBundle(request)
        do {
            let log = binary.runtime == ShimBinary.ownRuntime ? nil : try ShimLog(in: bundle, on: loop)
            if let log { await keep(log, request.key) }
            return try await start(binary, bundle, log)
        } catch {
            await dropLog(request.key)
            await cleanUp(binary, bundle)
            throw error
        }
    }

    private nonisolated func start(_ binary: ShimBinary, _ bundle: ShimBundle, _ log: ShimLog?) async throws -> Shim {
        let key = ShimKey(bundle.namespace, bundle.id)
        do {
            let started = try await launcher.start(binary, in: bundle, socket: ShimSocket.path(of: key, in: sockets))
            let shim = try await Shim.greet(bundle, started, on: loop)
            FaultPoint.hit("shim.after-connect")
            try await Blocking.run { try bundle.write(ShimBootstrap.file, shim.bootstrap.record) }
            return shim
        } catch {
            let words = log?.text ?? bundle.shimLogTail()
            let known = BerthError.wrapping(error)
            throw words.isEmpty ? known : BerthError(known.code, "\(known)\nits log ends: \(words.suffix(2048))")
        }
    }

    private func keep(_ log: ShimLog, _ key: ShimKey) { logs[key] = log }

    func dropLog(_ key: ShimKey) { logs.removeValue(forKey: key)?.close() }

    /// Ends a shim in good order, or by force, and removes its bundle, its socket and its cgroup. A missing one is
    /// success.
    ///
    /// - Throws: `internal` when the bundle cannot be removed; it can be called again then.
    package func retire(_ key: ShimKey) async throws {
        switch entries[key] {
        case .recovering(let task):
            await Self.wait(for: task, atMost: Self.recoveryPatience)
            if case .recovering = entries[key] {
                throw BerthError(.unavailable, "end the shim of '\(key)': it is still being looked for")
            }
            return try await retire(key)
        case .starting(let starting):
            // Its starter takes note of the result first, in a turn of its own.
            _ = await starting.result
            while case .starting = entries[key] { await Task.yield() }
            return try await retire(key)
        case .running(let shim):
            entries[key] = .ending
            await end(shim)
        case .lost, .ending, nil: break
        }
        dropLog(key)
        let bundle = bundle(of: key)
        let socket = ShimSocket.path(of: key, in: sockets)
        try await Blocking.run(on: Blocking.foreign, "remove bundle '\(key)'", deadline: .seconds(10)) {
            try bundle.removeCgroup()
            try bundle.remove()
            unlink(socket)
        }
        entries[key] = nil
    }

    private nonisolated func end(_ shim: Shim) async {
        let intent = shim.bundle.read(BundleIntent.file).flatMap { try? BundleIntent(record: $0) }
        var mayEndItself = true
        do {
            if intent?.kind == .sandbox {
                try await shim.shutdownSandbox(shim.key.id)
            } else {
                try await shim.shutdown(shim.key.id)
            }
        } catch {
            // `unavailable`: it was faster to end than to answer. Any other answer, or none, is a refusal.
            mayEndItself = BerthError.wrapping(error).code == .unavailable
        }
        let limit = ContinuousClock.now + (mayEndItself ? Self.endPatience : .zero)
        while !shim.isDead && ContinuousClock.now < limit { try? await Task.sleep(for: .milliseconds(2)) }
        if !shim.isDead {
            logger.warning("a shim did not end when asked; killed", metadata: ["shim": "\(shim.key)"])
            shim.kill()
            await sweep(nil, shim.bundle)
        }
        shim.close()
    }

    /// Undoes what a start left: the shim's `delete`, processes by cgroup, mounts, the bundle.
    nonisolated func cleanUp(_ binary: ShimBinary?, _ bundle: ShimBundle) async {
        await sweep(binary, bundle)
        do {
            try await Blocking.run(on: Blocking.foreign, "remove bundle '\(bundle.id)'", deadline: .seconds(10)) {
                try bundle.removeCgroup()
                try bundle.remove()
            }
        } catch {
            logger.warning("a bundle is left", metadata: ["bundle": "\(bundle.path)", "error": "\(error)"])
        }
    }

    /// Kills and unmounts what a dead shim left; the bundle stays.
    nonisolated func sweep(_ binary: ShimBinary?, _ bundle: ShimBundle) async {
        _ = try? await Blocking.run { bundle.killStrays() }
        if let binary {
            do { try await launcher.cleanUp(binary, in: bundle) } catch {
                logger.warning(
                    "the clean-up of a shim failed", metadata: ["shim": "\(bundle.id)", "error": "\(error)"])
            }
        }
        do {
            try await Blocking.run(on: Blocking.foreign, "kill what '\(bundle.id)' left", deadline: .seconds(10)) {
                try bundle.killRemains()
            }
        } catch {
            logger.warning(
                "processes of a dead shim may be left", metadata: ["shim": "\(bundle.id)", "error": "\(error)"])
        }
    }
}
