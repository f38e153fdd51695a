internal import BerthBase
internal import BerthKernel
internal import BerthServices
internal import Logging
internal import SystemPackage

/// Connects pods by CNI plugins. Each attempt is a row before its first plugin runs; each teardown is a row until it
/// has succeeded, and no other call waits for it.
actor CNINetwork: PodNetwork {
    let config: CNIConfig
    let ledger: AttachmentLedger
    let loader: ConfigurationLoader
    let invoker: PluginInvoker
    let namespaces: PodNamespaces
    let logger: Logger
    private let lanes = KeyedLanes<PodID>()
    var wakeTeardowns: AsyncStream<Void>.Continuation?
    /// Pods whose teardown runs now.
    var beingTornDown: Set<PodID> = []
    /// Rows that could not be read at the start.
    private var unreadable: [String] = []

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
        let rows = try await ledger.all()
        for attachment in rows.readable where attachment.phase == .attempting {
            try await ledger.update(attachment.request.pod) { $0.phase = .detaching }
            logger.notice("undoing an unfinished pod network", metadata: ["pod": "\(attachment.request.pod)"])
        }
        unreadable = rows.unreadable
        for pod in unreadable {
            logger.error("the network record of a pod cannot be read; it stays as it is", metadata: ["pod": "\(pod)"])
        }
    }

    func makeUserNamespace(pod: PodID, uids: [IDMapping], gids: [IDMapping]) async throws -> FilePath {
        try await ledger.put(Attachment(reserving: pod, netns: namespaces.path(of: pod, kind: .network).string))
        FaultPoint.hit("network.make-user-namespace")
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
            let cidr = try await ledger.podCIDR()
            try await begin(Attachment(request: request, network: network, podCIDR: cidr))
            FaultPoint.hit("network.before-add")
            do {
                let result = try await invoker.add(network, request, podCIDR: cidr)
                FaultPoint.hit("network.after-add")
                let row = try await ledger.update(request.pod) { row in
                    row.result = result.raw
                    row.addresses = result.addresses
                    if row.phase == .attempting { row.phase = .attached }
                }
                guard row?.phase == .attached else { throw BerthError(.aborted, "the pod was stopped meanwhile") }
                return result
            } catch {
                let words = "\(error)"
                try await ledger.update(request.pod) { row in
                    row.phase = .detaching
                    row.lastError = words
                }
                wakeTeardowns?.yield()
                throw BerthError.wrapping(error).during("connect pod '\(request.pod)' to network '\(network.name)'")
            }
        }
    }

    /// Records the attempt; not over a teardown that is due.
    private func begin(_ attachment: Attachment) async throws {
        let pod = attachment.request.pod
        if let row = try await ledger.get(pod), row.phase != .attempting {
            let why = row.phase == .attached ? "it is connected already" : "its teardown is due"
            throw BerthError(.failedPrecondition, "connect pod '\(pod)' to its network: \(why)")
        }
        try await ledger.put(attachment)
    }

    func detach(pod: PodID, patience: Duration) async throws {
        let row = try await ledger.update(pod) { row in
            if row.phase != .detaching { row.attempts = 0 }
            row.phase = .detaching
        }
        guard row != nil else { return }
        FaultPoint.hit("network.before-del")
        let teardown = Task { try await self.tearDown(pod) }
        let isDone = await Self.succeeds(teardown, within: patience)
        if !isDone { wakeTeardowns?.yield() }
    }

    /// Waits for a task at most so long, without a hold on it.
    private static func succeeds(_ task: Task<Void, any Error>, within patience: Duration) async -> Bool {
        let (stream, continuation) = AsyncStream<Bool>.makeStream()
        let watcher = Task {
            let succeeded = (try? await task.value) != nil
            continuation.yield(succeeded)
        }
        let timer = Task {
            try? await Task.sleep(for: patience)
            continuation.yield(false)
        }
        defer {
            timer.cancel()
            watcher.cancel()
        }
        for await answer in stream { return answer }
        return false
    }

    /// One attempt; its failure is kept in the row.
    func tearDown(_ pod: PodID) async throws {
        try await lanes.run(pod) {
            guard let attachment = try await ledger.get(pod), attachment.phase == .detaching else { return }
            beingTornDown.insert(pod)
            defer { beingTornDown.remove(pod) }
            do {
                try await invoker.delete(attachment)
                FaultPoint.hit("network.after-del")
                try await namespaces.remove(pod: pod)
                try await ledger.remove(pod)
            } catch {
                let words = "\(error)"
                let row = try await ledger.update(pod) { row in
                    row.attempts += 1
                    row.lastError = words
                }
                logger.warning(
                    "pod network not torn down, will try again",
                    metadata: ["pod": "\(pod)", "attempts": "\(row?.attempts ?? 0)", "error": "\(error)"])
                throw error
            }
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
            try await invoker.status(try await loader.load())
            return nil
        } catch {
            return "\(error)"
        }
    }

    func setPodCIDR(_ cidr: String) async throws { try await ledger.setPodCIDR(cidr) }

    func pendingTeardowns() async -> [(pod: PodID, attempts: Int, lastError: String)] {
        let all = (try? await ledger.all().readable) ?? []
        return all.filter { $0.phase == .detaching }.map { ($0.request.pod, $0.attempts, $0.lastError) }
    }

    /// What an operator should know although pods can be connected; nil: nothing.
    func complaint() async -> String? {
        var words = unreadable.map { "the network record of pod '\($0)' cannot be read" }
        words += (try? await loader.load().ignored) ?? []
        return words.isEmpty ? nil : words.joined(separator: "; ")
    }
}
