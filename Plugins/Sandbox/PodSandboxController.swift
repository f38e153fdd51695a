package import BerthBase
package import BerthServices
internal import BerthShimAPI
package import BerthShimClient
package import Logging

/// Runs each pod as a sandbox of a shim of its own.
package struct PodSandboxController: SandboxController {
    /// How long a shim may take to say how a sandbox is.
    static let statusPatience = Duration.seconds(5)

    let shims: ShimRegistry
    let logger: Logger

    package init(_ shims: ShimRegistry, logger: Logger) {
        self.shims = shims
        self.logger = logger
    }

    package func create(_ request: SandboxRequest) async throws -> SandboxStatus {
        let key = ShimKey(request.namespace, request.id.rawValue)
        return try await during("create sandbox '\(request.id)'") {
            let intent = BundleIntent(kind: .sandbox, runtime: request.runtime)
            let shim = try await shims.launch(ShimRequest(key, intent, spec: request.spec))
            do {
                try Task.checkCancellation()
                return try await make(request, in: shim)
            } catch {
                // Its own task: the caller may be cancelled, and nothing must be left.
                await Task { await undo(key) }.value
                throw error
            }
        }
    }

    private func make(_ request: SandboxRequest, in shim: Shim) async throws -> SandboxStatus {
        var message = CreateSandboxRequest()
        message.sandboxID = request.id.rawValue
        message.bundlePath = shim.bundle.path
        message.netnsPath = request.netns
        message.annotations = request.annotations
        message.options = request.options.map { WireAny(typeURL: $0.typeURL, value: $0.value) }
        do {
            try await shim.createSandbox(message)
        } catch let error as BerthError where error.code == .unimplemented {
            throw BerthError(
                .unimplemented,
                "the runtime '\(request.runtime)' has no Sandbox service, which the sandboxer 'pod' needs")
        }
        FaultPoint.hit("sandbox.after-create")
        let answer = try await shim.startSandbox(request.id.rawValue)
        FaultPoint.hit("sandbox.after-start")
        return SandboxStatus(ready: true, pid: answer.pid, createdAt: answer.createdAt ?? .now())
    }

    private func undo(_ key: ShimKey) async {
        do { try await shims.retire(key) } catch {
            logger.error("a sandbox that failed is left", metadata: ["sandbox": "\(key)", "error": "\(error)"])
        }
    }

    package func stop(_ id: PodID, in namespace: NamespaceID, timeout: Duration) async throws {
        let key = ShimKey(namespace, id.rawValue)
        try await during("stop sandbox '\(id)'") {
            do {
                try await shims.shim(key).stopSandbox(id.rawValue, timeout: timeout)
            } catch let error as BerthError where error.code == .notFound || error.code == .unavailable {
                // A lost shim was cleaned up after: nothing of its sandbox runs. Any other silence is told.
                if error.code == .unavailable, await shims.loss(of: key) == nil { throw error }
            }
        }
    }

    package func remove(_ id: PodID, in namespace: NamespaceID) async throws {
        try await during("remove sandbox '\(id)'") {
            let key = ShimKey(namespace, id.rawValue)
            // A shim ends by itself only once its sandbox is stopped. One that cannot stop it is killed.
            try? await shims.shim(key).stopSandbox(id.rawValue, timeout: .seconds(2))
            FaultPoint.hit("sandbox.before-remove")
            try await shims.retire(key)
        }
    }

    package func status(_ id: PodID, in namespace: NamespaceID) async throws -> SandboxStatus {
        let key = ShimKey(namespace, id.rawValue)
        let shim: Shim
        do { shim = try await shims.shim(key) } catch let error as BerthError where error.code == .unavailable {
            let loss = await shims.loss(of: key)
            return Self.lost(loss, reason: loss?.reason ?? error.message)
        }
        do {
            let answer = try await shim.sandboxStatus(id.rawValue, within: Self.statusPatience)
            return SandboxStatus(
                ready: answer.state == SandboxService.ready, pid: answer.pid,
                createdAt: answer.createdAt ?? Timestamp(nanoseconds: 0), exitedAt: answer.exitedAt,
                reason: answer.info["reason"] ?? "")
        } catch let error as BerthError where error.code == .notFound {
            throw BerthError(.notFound, "there is no sandbox '\(id)': \(error.message)")
        } catch {
            return SandboxStatus(
                ready: false, pid: 0, createdAt: Timestamp(nanoseconds: 0), reason: "its shim does not answer: \(error)"
            )
        }
    }

    private static func lost(_ loss: ShimLoss?, reason: String) -> SandboxStatus {
        SandboxStatus(
            ready: false, pid: 0, createdAt: Timestamp(nanoseconds: 0), exitedAt: loss?.lostAt, reason: reason)
    }

    package func metrics(_ id: PodID, in namespace: NamespaceID) async throws -> AnyMessage {
        try await during("metrics of sandbox '\(id)'") {
            let data = try await shims.shim(ShimKey(namespace, id.rawValue)).sandboxMetrics(id.rawValue)
            return AnyMessage(typeURL: data.typeURL, value: data.value)
        }
    }

    package func losses() async -> AsyncStream<(NamespaceID, PodID, SandboxStatus)> {
        let losses = await shims.losses()
        // Each sandbox is lost once: the queue cannot hold more than there are sandboxes.
        let (stream, continuation) = AsyncStream.makeStream(
            of: (NamespaceID, PodID, SandboxStatus).self, bufferingPolicy: .unbounded)
        let following = Task {
            for await loss in losses where loss.intent.kind == .sandbox {
                continuation.yield((loss.key.namespace, PodID(loss.key.id), Self.lost(loss, reason: loss.reason)))
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in following.cancel() }
        return stream
    }

    package func recovered() async { await shims.recovered() }
}
