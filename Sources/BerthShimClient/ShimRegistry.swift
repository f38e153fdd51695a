package import BerthBase
package import BerthIO
package import BerthKernel
package import BerthShimAPI
package import Logging

/// A shim that is no more, and why.
package struct ShimLoss: Sendable {
    package var key: ShimKey
    package var intent: BundleIntent
    package var reason: String
    package var lostAt: Timestamp
    /// The exits it recorded before.
    package var exits: [ShimExit]
}

/// What to start a shim for.
package struct ShimRequest: Sendable {
    package var key: ShimKey
    package var intent: BundleIntent
    /// The OCI spec, JSON.
    package var spec: [UInt8]

    package init(_ key: ShimKey, _ intent: BundleIntent, spec: [UInt8]) {
        self.key = key
        self.intent = intent
        self.spec = spec
    }
}

/// All shims of this daemon: those it starts, and those it finds when it starts itself.
///
/// A bundle's directory exists before its shim does. Who asks for a shim that is being looked for waits for that one
/// alone; a shim that hangs holds up nobody else.
package actor ShimRegistry {
    /// How long a shim found at start may take to be reached or cleaned up after, before the others' callers are told.
    package static let recoveryPatience = Duration.seconds(10)
    /// How long a shim may take to end once it was asked to.
    static let endPatience = Duration.seconds(3)
    /// Times a lost connection is made again while the shim's process lives.
    static let reconnects = 3

    /// Where a shim is.
    enum Entry: Sendable {
        case starting(Task<Shim, any Error>)
        /// Found at start, being looked for.
        case recovering(Task<Void, Never>)
        case running(Shim)
        /// Being ended by us.
        case ending
        case lost(ShimLoss)
    }

    /// Bundles, `<namespace>/<id>` each.
    package nonisolated let folder: String
    /// The sockets of our own shims.
    package nonisolated let sockets: String
    /// Where shims forward events to.
    package nonisolated let eventsPath: String
    nonisolated let launcher: ShimLauncher
    nonisolated let loop: EventLoop
    nonisolated let logger: Logger

    var entries: [ShimKey: Entry] = [:]
    var logs: [ShimKey: ShimLog] = [:]
    private var lossStreams: [UInt64: AsyncStream<ShimLoss>.Continuation] = [:]
    private var nextStream: UInt64 = 0
    private var found: [(ShimBundle, BundleIntent)] = []
    /// Containers the kernel's out-of-memory killer hit, as foreign shims said.
    private var oomKilled: Set<ShimKey> = []

    /// Makes the directories and looks at what is there; `recover` begins to reach for it.
    ///
    /// - Throws: `invalidArgument` when the directory's name is too long for sockets below it.
    package init(in state: String, grpcAddress: String, publisher: String, loop: EventLoop, logger: Logger) throws {
        folder = "\(state)/bundles"
        sockets = "\(state)/s"
        eventsPath = "\(state)/events.sock"
        self.loop = loop
        self.logger = logger
        launcher = ShimLauncher(eventsAddress: "\(state)/events.sock", grpcAddress: grpcAddress, publisher: publisher)
        guard "\(sockets)/0123456789abcdef".utf8.count <= ShimSocket.maxPathLength else {
            throw BerthError(
                .invalidArgument,
                "the state directory '\(state)' is too long for the sockets of shims: "
                    + "\(ShimSocket.maxPathLength) bytes are the most of a socket's path")
        }
        try ShimSocket.makePrivateFolder(folder, mode: 0o711)
        try ShimSocket.makePrivateFolder(sockets, mode: 0o700)
        for bundle in ShimBundle.all(in: folder) {
            // Without an intent the crash came before anything was done for it.
            guard let bytes = bundle.read(BundleIntent.file), let intent = try? BundleIntent(record: bytes) else {
                try? bundle.remove()
                continue
            }
            found.append((bundle, intent))
        }
    }

    /// Begins to reach for every shim found, all at once. To be called once, before anything else.
    package func recover() {
        for (bundle, intent) in found where intent.sandbox.isEmpty {
            let key = ShimKey(bundle.namespace, bundle.id)
            entries[key] = .recovering(Task { await self.recover(bundle, intent) })
        }
    }

    /// The bundles that were there at the start, with what they are for.
    package var bundlesAtStart: [(bundle: ShimBundle, intent: BundleIntent)] {
        found.map { (bundle: $0.0, intent: $0.1) }
    }

    /// The bundle of a key, whether it exists or not.
    package nonisolated func bundle(of key: ShimKey) -> ShimBundle {
        ShimBundle(folder: folder, namespace: key.namespace, id: key.id)
    }

    /// Makes a bundle without a shim of its own: a container in its sandbox's shim.
    ///
    /// - Throws: `alreadyExists`.
    package nonisolated func makeBundle(_ request: ShimRequest) async throws -> ShimBundle {
        let bundle = bundle(of: request.key)
        try await Blocking.run { try bundle.create(request.intent, spec: request.spec) }
        return bundle
    }

    /// A shim that runs, after its recovery if need be.
    ///
    /// - Throws: `notFound`; `unavailable` with the reason when it is lost or not yet there.
    package func shim(_ key: ShimKey) async throws -> Shim {
        if case .recovering(let task) = entries[key] { await Self.wait(for: task, atMost: Self.recoveryPatience) }
        switch entries[key] {
        case .running(let shim): return shim
        case .lost(let loss): throw BerthError(.unavailable, "the shim of '\(key)' is lost: \(loss.reason)")
        case .recovering: throw BerthError(.unavailable, "the shim of '\(key)' is still being looked for")
        case .starting: throw BerthError(.unavailable, "the shim of '\(key)' is still starting")
        case .ending, nil: throw BerthError(.notFound, "there is no shim of '\(key)'")
        }
    }

    /// The loss of a shim, if it is lost.
    package func loss(of key: ShimKey) -> ShimLoss? {
        if case .lost(let loss) = entries[key] { return loss }
        return nil
    }

    /// Shims that are lost, those of before the call included.
    package func losses() -> AsyncStream<ShimLoss> {
        // Each shim is lost once: the queue cannot hold more than there are shims.
        let (stream, continuation) = AsyncStream.makeStream(of: ShimLoss.self, bufferingPolicy: .unbounded)
        nextStream += 1
        let number = nextStream
        for case .lost(let loss) in entries.values { continuation.yield(loss) }
        lossStreams[number] = continuation
        continuation.onTermination = { _ in Task { await self.forgetStream(number) } }
        return stream
    }

    private func forgetStream(_ number: UInt64) { lossStreams[number] = nil }

    func report(_ loss: ShimLoss) {
        entries[loss.key] = .lost(loss)
        for stream in lossStreams.values { stream.yield(loss) }
    }

    /// Waits until every shim found at start is reached or known to be lost, or the time for that is over.
    package func recovered() async {
        var tasks: [Task<Void, Never>] = []
        for case .recovering(let task) in entries.values { tasks.append(task) }
        let all = tasks
        await Self.wait(for: Task { for task in all { await task.value } }, atMost: Self.recoveryPatience)
    }

    /// Waits for a task, but not for ever; the task goes on.
    package static func wait(for task: Task<Void, Never>, atMost patience: Duration) async {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let watching = Task {
            await task.value
            continuation.yield()
        }
        let timing = Task {
            try? await Task.sleep(for: patience)
            continuation.yield()
        }
        for await _ in stream { break }
        timing.cancel()
        watching.cancel()
    }

    /// Notes what a foreign shim said of a container; the next exit of it takes the note.
    package func noteOutOfMemory(_ key: ShimKey) {
        if oomKilled.count < 4096 { oomKilled.insert(key) }
    }

    /// Whether the container was hit; asked once.
    package func takeOutOfMemory(_ key: ShimKey) -> Bool { oomKilled.remove(key) != nil }

    /// Lets go of the connections; the shims go on.
    package func close() {
        for case .running(let shim) in entries.values { shim.close() }
        for log in logs.values { log.close() }
        for stream in lossStreams.values { stream.finish() }
        (entries, logs, lossStreams) = ([:], [:], [:])
    }
}

extension ServiceKey where Interface == ShimRegistry {
    /// The registry of shims, which tasks and sandboxes share.
    package static var shims: Self { Self("shims") }
}
