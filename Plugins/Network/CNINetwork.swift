internal import BerthBase
internal import BerthKernel
internal import BerthServices
internal import Logging
internal import SystemPackage

/// Connects pods by CNI plugins. Each attempt is a row before its first plugin runs; each teardown is a row until it
/// has succeeded, and no other call waits for it.
actor CNINetwork: PodNetwork {
    /// The most teardowns that run at once.
    static let maxTeardowns = 8

    let config: CNIConfig
    let ledger: AttachmentLedger
    let loader: ConfigurationLoader
    let invoker: PluginInvoker
    let namespaces: PodNamespaces
    let logger: Logger
    private let lanes = KeyedLanes<PodID>()
    private var podCIDR: String?
    private var wakeTeardowns: AsyncStream<Void>.Continuation?

    init(config: CNIConfig, metadata: any MetadataStore, logger: Logger) {
        self.config = config
        self.logger = logger
        ledger = AttachmentLedger(metadata: metadata)
        loader = ConfigurationLoader(directory: config.confDir)
        invoker = PluginInvoker(
            binDirs: config.binDirs, deadline: .seconds(config.timeoutSeconds))
        namespaces = PodNamespaces(directory: FilePath(config.netnsDir))
    }

    /// Turns attempts that a crash left half-done into teardowns.
    func recover() async throws {
        for var attachment in try await ledger.all() where attachment.phase == .attempting {
            attachment.phase = .detaching
            try await ledger.put(attachment)
            logger.notice("undoing an unfinished pod network", metadata: ["pod": "\(attachment.request.pod)"])
        }
    }

    func makeUserNamespace(pod: PodID, uids: [IDMapping], gids: [IDMapping]) async throws -> FilePath {
        try await ledger.put(Attachment(reserving: pod, netns: namespaces.path(of: pod, kind: .network).string))
        return try await namespaces.makeUser(pod: pod, uids: uids, gids: gids)
    }

    func makeNamespace(pod: PodID, userns: FilePath?) async throws -> FilePath {
        let path = namespaces.path(of: pod, kind: .network)
        try await ledger.put(Attachment(reserving: pod, netns: path.string))
        FaultPoint.hit("network.make-namespace")
        return try await namespaces.makeNetwork(pod: pod, userns: userns)
    }

    func attach(_ request: PodNetworkRequest) async throws -> PodNetworkResult {
        try await lanes.run(request.pod) {
            let network = try await loader.load()
            var attachment = Attachment(request: request, network: network)
            try await ledger.put(attachment)
            FaultPoint.hit("network.before-add")
            do {
                let result = try await invoker.add(network, request, podCIDR: podCIDR)
                FaultPoint.hit("network.after-add")
                attachment.phase = .attached
                attachment.result = result.raw
                attachment.addresses = result.addresses
                try await ledger.put(attachment)
                return result
            } catch {
                attachment.phase = .detaching
                attachment.lastError = "\(error)"
                try await ledger.put(attachment)
                wakeTeardowns?.yield()
                throw BerthError.wrapping(error).during("connect pod '\(request.pod)' to network '\(network.name)'")
            }
        }
    }

    func detach(pod: PodID, patience: Duration) async throws {
        guard var attachment = try await ledger.get(pod) else { return }
        if attachment.phase != .detaching {
            attachment.phase = .detaching
            attachment.attempts = 0
            try await ledger.put(attachment)
        }
        FaultPoint.hit("network.before-del")
        let teardown = Task { try await self.tearDown(pod) }
        let winner = await withTaskGroup(of: Bool.self) { group in
            group.addTask { (try? await teardown.value) != nil }
            group.addTask {
                try? await Task.sleep(for: patience)
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
        if !winner { wakeTeardowns?.yield() }
    }

    /// One attempt; its failure is kept in the row.
    private func tearDown(_ pod: PodID) async throws {
        try await lanes.run(pod) {
            guard var attachment = try await ledger.get(pod), attachment.phase == .detaching else { return }
            do {
                try await invoker.delete(attachment)
                try await namespaces.remove(pod: pod)
                FaultPoint.hit("network.after-del")
                try await ledger.remove(pod)
            } catch {
                attachment.attempts += 1
                attachment.lastError = "\(error)"
                try await ledger.put(attachment)
                logger.warning(
                    "pod network not torn down, will try again",
                    metadata: ["pod": "\(pod)", "attempts": "\(attachment.attempts)", "error": "\(error)"])
                throw error
            }
        }
    }

    /// Tries pending teardowns again, with a growing pause; ends when the plugin stops.
    func retryTeardowns() async throws {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        wakeTeardowns = continuation
        var pause = 1
        while !Task.isCancelled {
            let pending = try await ledger.all().filter { $0.phase == .detaching }
            await withTaskGroup(of: Void.self) { group in
                for (index, attachment) in pending.enumerated() {
                    if index >= Self.maxTeardowns { await group.next() }
                    group.addTask { try? await self.tearDown(attachment.request.pod) }
                }
            }
            let left = try await ledger.all().contains { $0.phase == .detaching }
            pause = left ? min(pause * 2, config.retrySeconds) : 1
            try await Self.wait(for: stream, atMost: left ? .seconds(pause) : nil)
        }
    }

    private static func wait(for stream: AsyncStream<Void>, atMost limit: Duration?) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in stream { return } }
            if let limit { group.addTask { try? await Task.sleep(for: limit) } }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    /// Looks every few seconds whether pods can be connected, and reports a change; ends when the plugin stops.
    func followConfiguration(report: @Sendable (PluginHealth) -> Void) async throws {
        var last: String??
        while !Task.isCancelled {
            let reason = await notReadyReason()
            if last != .some(reason) {
                report(reason.map { .degraded($0) } ?? .healthy)
                last = reason
            }
            try await Task.sleep(for: .seconds(5))
        }
    }

    func check(pod: PodID) async throws {
        guard let attachment = try await ledger.get(pod), attachment.phase == .attached else {
            throw BerthError(.notFound, "check the network of pod '\(pod)': it is not connected")
        }
        try await invoker.check(attachment)
    }

    func result(pod: PodID) async throws -> PodNetworkResult? {
        guard let attachment = try await ledger.get(pod), attachment.phase == .attached else { return nil }
        return PodNetworkResult(addresses: attachment.addresses, raw: attachment.result)
    }

    func notReadyReason() async -> String? {
        do {
            let network = try await loader.load()
            return try await invoker.status(network)
        } catch {
            return "\(error)"
        }
    }

    func setPodCIDR(_ cidr: String) async throws { podCIDR = cidr }

    func pendingTeardowns() async -> [(pod: PodID, attempts: Int, lastError: String)] {
        let all = (try? await ledger.all()) ?? []
        return all.filter { $0.phase == .detaching }.map { ($0.request.pod, $0.attempts, $0.lastError) }
    }
}
