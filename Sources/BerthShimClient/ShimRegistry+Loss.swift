internal import BerthBase
internal import BerthShimAPI
internal import Glibc
internal import Logging

extension ShimRegistry {
    /// Follows a shim until its connection ends.
    func watch(_ shim: Shim, _ intent: BundleIntent) {
        Task {
            let reason = await shim.ended()
            await self.connectionEnded(of: shim, intent, reason)
        }
    }

    private func connectionEnded(of shim: Shim, _ intent: BundleIntent, _ reason: BerthError) async {
        // Ended by us, closed with the registry, or replaced.
        guard case .running(let current) = entries[shim.key], current === shim else { return }
        for _ in 0..<Self.reconnects where !shim.isDead {
            try? await Task.sleep(for: .milliseconds(50))
            guard case .running(let current) = entries[shim.key], current === shim else { return }
            if let again = try? await Shim.adopt(shim.bundle, shim.bootstrap, on: loop) {
                entries[shim.key] = .running(again)
                watch(again, intent)
                return
            }
        }
        guard case .running(let current) = entries[shim.key], current === shim else { return }
        let words = shim.bundle.shimLogTail()
        let why = shim.isDead ? "its process ended" : "it lives but takes no connection"
        shim.kill()
        await lose(
            shim.bundle, intent, "\(why) (\(reason))\(words.isEmpty ? "" : "; its log ends: \(words.suffix(500))")")
    }

    /// Cleans up after a shim that is dead and tells everybody.
    func lose(_ bundle: ShimBundle, _ intent: BundleIntent, _ reason: String) async {
        let key = ShimKey(bundle.namespace, bundle.id)
        logger.error("a shim is lost", metadata: ["shim": "\(key)", "reason": "\(reason)"])
        let binary = try? ShimBinary.find(intent.runtime)
        let exits = (try? await Blocking.run { bundle.recordedExits() }) ?? []
        await sweep(binary, bundle)
        dropLog(key)
        report(ShimLoss(key: key, intent: intent, reason: reason, lostAt: .now(), exits: exits))
    }

    /// Reaches for a shim of the daemon's earlier life, or undoes a start that was cut short.
    func recover(_ bundle: ShimBundle, _ intent: BundleIntent) async {
        let key = ShimKey(bundle.namespace, bundle.id)
        do {
            guard let shim = try await reach(bundle, intent) else {
                await cleanUp(
                    try? ShimBinary(
                        runtime: intent.runtime, programFolder: ShimBinary.programFolder,
                        searchPath: getenv("PATH").map { String(cString: $0) } ?? ""), bundle)
                entries[key] = nil
                return
            }
            entries[key] = .running(shim)
            watch(shim, intent)
        } catch { await lose(bundle, intent, "\(error)") }
    }

    /// The shim of a bundle; nil when its start was cut short before anybody could know of it.
    private nonisolated func reach(_ bundle: ShimBundle, _ intent: BundleIntent) async throws -> Shim? {
        if intent.runtime != ShimBinary.ownRuntime, let log = try? ShimLog(in: bundle, on: loop) {
            await hold(log, ShimKey(bundle.namespace, bundle.id))
        }
        if let record = bundle.read(ShimBootstrap.file), let bootstrap = try? ShimBootstrap(record: record) {
            return try await Shim.adopt(bundle, bootstrap, on: loop)
        }
        // The crash came between the start and its record, or the record is damaged: ours listens at a known place,
        // others wrote `address`.
        let key = ShimKey(bundle.namespace, bundle.id)
        let written = bundle.read("address").map { String(decoding: $0, as: UTF8.self) } ?? ""
        let own = "unix://\(ShimSocket.path(of: key, in: sockets))"
        let address = intent.runtime == ShimBinary.ownRuntime ? own : written
        guard address.hasPrefix("unix:///") else { return nil }
        let version = intent.runtime == ShimBinary.ownRuntime ? 3 : 2
        let text = #"{"version":\#(version),"address":"\#(address)","protocol":"ttrpc"}"#
        let started = try ShimBootstrap(parsing: Array(text.utf8), runtime: intent.runtime)
        guard let shim = try? await Shim.greet(bundle, started, on: loop) else { return nil }
        try await Blocking.run { try bundle.write(ShimBootstrap.file, shim.bootstrap.record) }
        return shim
    }

    private func hold(_ log: ShimLog, _ key: ShimKey) { logs[key] = log }
}
