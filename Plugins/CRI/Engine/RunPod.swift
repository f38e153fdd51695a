internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import Logging
internal import SystemPackage

extension LocalPodEngine {
    /// How long the making of a pod may go on, with or without somebody who waits for it.
    static let runPodDeadline: Duration = .seconds(240)

    func runPod(_ spec: PodSpec, in namespace: NamespaceID, caller: String) async throws -> PodID {
        try PodSpecCheck.check(spec, facts)
        guard let runtime = config.handlers[spec.runtimeHandler.isEmpty ? config.defaultHandler : spec.runtimeHandler]
        else {
            let known = runtimeHandlers.joined(separator: ", ")
            throw BerthError(.invalidArgument, "runtime_handler '\(spec.runtimeHandler)' is not one of: \(known)")
        }
        let digest = try Self.digest(spec)
        let key = OperationKey(
            kind: "RunPodSandbox", identity: PodRow.identity(spec, in: namespace), fingerprint: digest,
            subject: Self.subject(spec), caller: caller)
        return try await services.operations.run(
            key, deadline: Self.runPodDeadline, abandon: { await self.abandon($0, in: namespace) }
        ) { stage in
            let row = PodRow(
                id: PodID(Self.newID()), namespace: namespace,
                origin: .init(
                    spec: spec, digest: digest, runtime: runtime, sandboxer: self.config.sandboxer, createdAt: .now()),
                status: .init(phase: .starting))
            return try await self.makePod(row, stage)
        }
    }

    static func subject(_ spec: PodSpec) -> String { spec.group.isEmpty ? spec.name : "\(spec.group)/\(spec.name)" }

    /// The one pod of this identity, made or found.
    private func makePod(_ row: PodRow, _ stage: any OperationStage) async throws -> PodID {
        // One of this identity may be about to be adopted or undone; the others are no concern of this call.
        if let found = table.pod(identity: row.identity) { await recovery.pod(found.id) }
        if let existing = table.pod(identity: row.identity) {
            guard existing.origin.digest == row.origin.digest, existing.status.phase == .ready else {
                let how = existing.status.phase == .ready ? "another configuration" : "state \(existing.status.phase)"
                throw BerthError(
                    .alreadyExists,
                    "pod '\(Self.subject(row.spec))' attempt \(row.spec.attempt) exists with \(how): \(existing.id)")
            }
            return existing.id
        }
        return try await during("run pod '\(Self.subject(row.spec))'") {
            try await lanes.run("pod/\(row.id)") {
                do {
                    return try await withUndo(onFailedUndo: { await self.keepLeftovers($0, of: row.id) }) { undo in
                        try await self.assemble(row, undo, stage)
                    }
                } catch {
                    await Task { await self.forgetUndone(row.id) }.value
                    throw error
                }
            }
        }
    }

    /// The record goes when everything it stood for was undone.
    private func forgetUndone(_ id: PodID) async {
        guard let row = table.pod(id), row.status.leftovers.isEmpty else { return }
        if let error = await problem({ try await rows.delete(row) }) {
            logger.error("the record of an undone pod is left", metadata: ["pod": "\(id)", "error": "\(error)"])
        } else {
            table.remove(row)
        }
    }

    /// Reserve → user namespace → network namespace → (network ∥ files, shim) → ready.
    private func assemble(_ row: PodRow, _ undo: UndoStack, _ stage: any OperationStage) async throws -> PodID {
        stage.enter("reserve", waitingFor: "database")
        FaultPoint.hit("cri.RunPodSandbox.begin")
        // The paths of its namespaces are not known before the network has made them.
        let spec = try SandboxSpecBuilder.build(row.spec, id: row.id, namespace: row.namespace, netns: "", userns: "")
            .json()
        try await rows.create(row, spec: spec)
        table.put(row)
        FaultPoint.hit("cri.RunPodSandbox.reserved")
        let made = try await makeNamespaces(row, undo, stage)
        FaultPoint.hit("cri.RunPodSandbox.namespaces")
        stage.enter("network and shim", waitingFor: "CNI plugins, the shim")
        undo.add("the pod's files") { try await self.files.remove(row.id) }
        undo.add("the shim") {
            let controller = try self.controller(row)
            // A removal ends the shim whatever a stop had to say.
            let stopped = await self.problem {
                try await controller.stop(row.id, in: row.namespace, timeout: Self.killPatience)
            }
            do { try await controller.remove(row.id, in: row.namespace) } catch { throw stopped ?? error }
        }
        // Both are waited for, or an undo could overtake the one that is still at work.
        async let network = outcome { try await self.attach(row, netns: made.netns) }
        async let sandbox = outcome { try await self.startSandbox(row, spec: made.spec ?? spec, netns: made.netns) }
        let (attached, started) = (await network, await sandbox)
        let (address, status) = (try attached.get(), try started.get())
        FaultPoint.hit("cri.RunPodSandbox.sandbox")
        let hostname =
            row.spec.namespaces.network == .node ? facts.hostname : SandboxSpecBuilder.hostname(row.spec, id: row.id)
        try await files.writeHosts(row.spec, id: row.id, hostname: hostname, addresses: address?.addresses ?? [])
        FaultPoint.hit("cri.RunPodSandbox.files")
        stage.enter("commit", waitingFor: "database")
        let ready = try await commit(row.id) { row in
            row.status.phase = .ready
            row.status.netns = made.netns
            row.status.pid = status.pid
            row.status.addresses = address?.addresses ?? []
            row.status.networkResult = String(decoding: address?.raw ?? [], as: UTF8.self)
        }
        FaultPoint.hit("cri.RunPodSandbox.ready")
        announce(.created, ready)
        announce(.started, ready)
        return row.id
    }

    func outcome<T: Sendable>(_ body: @Sendable () async throws -> T) async -> Result<T, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }

    private struct MadeNamespaces: Sendable {
        var netns = ""
        /// The sandbox's spec with the paths in it; nil when there are none.
        var spec: [UInt8]?
    }

    private func makeNamespaces(
        _ row: PodRow, _ undo: UndoStack, _ stage: any OperationStage
    ) async throws -> MadeNamespaces {
        var made = MadeNamespaces()
        if row.spec.namespaces.network == .node { return made }
        guard let network = services.network else {
            throw BerthError(
                .failedPrecondition, "no pod network is running; only pods with the host's network can be run")
        }
        undo.add("the pod's network") { try await network.detach(pod: row.id, patience: Self.detachPatience) }
        stage.enter("namespaces", waitingFor: "")
        made.netns = try await network.makeNamespace(pod: row.id, userns: nil).string
        made.spec = try SandboxSpecBuilder.build(
            row.spec, id: row.id, namespace: row.namespace, netns: made.netns, userns: ""
        ).json()
        return made
    }

    private func attach(_ row: PodRow, netns: String) async throws -> PodNetworkResult? {
        guard row.spec.namespaces.network == .pod, let network = services.network else { return nil }
        let spec = row.spec
        var request = PodNetworkRequest(pod: row.id, netns: netns)
        request.arguments = [
            "K8S_POD_NAMESPACE": spec.group, "K8S_POD_NAME": spec.name, "K8S_POD_INFRA_CONTAINER_ID": row.id.rawValue,
            "K8S_POD_UID": spec.uid, "IgnoreUnknown": "1",
        ]
        request.portMappings = spec.ports.filter { $0.hostPort > 0 }
        request.ingressRate = try Bandwidth.rate(spec.annotations, "kubernetes.io/ingress-bandwidth")
        request.egressRate = try Bandwidth.rate(spec.annotations, "kubernetes.io/egress-bandwidth")
        request.dnsServers = spec.dns?.servers ?? []
        request.cgroupPath = spec.cgroupParent
        return try await network.attach(request)
    }

    private func startSandbox(_ row: PodRow, spec: [UInt8], netns: String) async throws -> SandboxStatus {
        let hostname =
            row.spec.namespaces.network == .node ? facts.hostname : SandboxSpecBuilder.hostname(row.spec, id: row.id)
        try await files.make(row.spec, id: row.id, hostname: hostname)
        let request = SandboxRequest(
            id: row.id, namespace: row.namespace, spec: spec, netns: netns, runtime: row.origin.runtime,
            annotations: row.spec.annotations)
        let status = try await controller(row).create(request)
        guard status.ready else {
            throw BerthError(.unavailable, "the sandbox is not ready: \(status.reason)")
        }
        return status
    }

    /// What an undo could not undo: the pod stays, not ready, and the next stop and removal finish the job.
    private func keepLeftovers(_ failures: [UndoStack.Failure], of id: PodID) async {
        let left = failures.map { "\($0.label): \($0.error)" }
        logger.error("a pod is left half undone", metadata: ["pod": "\(id)", "error": "\(left)"])
        await record("what is left of a pod is not recorded", ["pod": "\(id)"]) {
            try await commit(id) { row in
                row.status.phase = .stopped
                row.status.reason = "not undone: " + left.joined(separator: "; ")
                row.status.leftovers = failures.map(\.label)
            }
        }
    }

    /// Nobody took the pod for ten minutes: it goes, unless somebody found it by a list and put containers in it.
    private func abandon(_ id: PodID, in namespace: NamespaceID) async {
        guard table.pod(id) != nil, table.containers(of: id).isEmpty, !claimed.contains(id) else { return }
        logger.notice("removing a pod nobody asked for again", metadata: ["pod": "\(id)"])
        do { try await removePod(id, in: namespace) } catch {
            logger.error(
                "a pod nobody asked for again is still there", metadata: ["pod": "\(id)", "error": "\(error)"])
        }
    }
}

/// Kubernetes' bandwidth annotations.
enum Bandwidth {
    /// Bits a second of a quantity like `10M`; 0 without one.
    /// - Throws: `invalidArgument` that names the annotation.
    static func rate(_ annotations: [String: String], _ name: String) throws -> Int64 {
        guard let text = annotations[name] else { return 0 }
        let units: [(String, Int64)] = [
            ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("k", 1000), ("M", 1_000_000),
            ("G", 1_000_000_000), ("T", 1_000_000_000_000),
        ]
        let unit = units.first { text.hasSuffix($0.0) }
        let digits = unit.map { String(text.dropLast($0.0.count)) } ?? text
        guard let number = Int64(digits), number > 0, number <= Int64.max / (unit?.1 ?? 1) else {
            throw BerthError(.invalidArgument, "annotation \(name): '\(text)' is no rate such as 10M")
        }
        return number * (unit?.1 ?? 1)
    }
}
