internal import BerthBase
internal import BerthKernel
internal import BerthServices
internal import Logging

/// What goes on beside the calls.
extension CNINetwork {
    /// The most teardowns that are tried again at once.
    static let maxTeardowns = 8
    /// How often the configuration is looked at.
    static let lookInterval = Duration.seconds(5)

    /// Tries pending teardowns again, with a growing pause; one that hangs holds up no other. Ends when the plugin
    /// stops.
    func retryTeardowns() async throws {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        wakeTeardowns = continuation
        defer { wakeTeardowns = nil }
        var pause = 1
        var last: Set<PodID> = []
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                let pending = Set(await pendingTeardowns().map(\.pod))
                let room = max(0, Self.maxTeardowns - beingTornDown.count)
                for pod in pending.subtracting(beingTornDown).sorted().prefix(room) {
                    group.addTask { try? await self.tearDown(pod) }
                }
                // A new one is tried a second later, whatever the old ones' pause has grown to.
                pause = pending.isSubset(of: last) ? min(pause * 2, config.retrySeconds) : 1
                last = pending
                await Self.wait(for: stream, atMost: pending.isEmpty ? nil : .seconds(pause))
            }
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    private static func wait(for stream: AsyncStream<Void>, atMost limit: Duration?) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in stream { return } }
            if let limit { group.addTask { try? await Task.sleep(for: limit) } }
            await group.next()
            group.cancelAll()
        }
    }

    /// Looks every few seconds whether pods can be connected, and reports a change; ends when the plugin stops.
    func followConfiguration(report: @Sendable (PluginHealth) -> Void) async throws {
        var last: String??
        while !Task.isCancelled {
            var reason = await notReadyReason()
            if reason == nil { reason = await complaint() }
            if last != .some(reason) {
                report(reason.map { .degraded($0) } ?? .healthy)
                last = reason
            }
            try await Task.sleep(for: Self.lookInterval)
        }
    }

    /// Tells the plugins once which pods there are, if the operator wants that.
    func collectGarbage() async throws {
        guard config.collectGarbage else { return }
        do {
            let network = try await loader.load()
            // Pods whose teardown is due count: their DEL gives back what they have.
            let rows = try await ledger.all()
            guard rows.unreadable.isEmpty else { return }
            try await invoker.collectGarbage(network, keeping: rows.readable.map(\.request.pod))
        } catch {
            logger.warning("CNI garbage not collected", metadata: ["error": "\(error)"])
        }
    }
}
