internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import BerthSystem
internal import Logging

extension LocalPodEngine {
    static let createDeadline: Duration = .seconds(240)
    /// A create that a crash cut short keeps its snapshot from the collector for so long.
    static let leaseSeconds: Int64 = 3600

    func createContainer(
        _ spec: ContainerSpec, pod podID: PodID, in namespace: NamespaceID, caller: String
    ) async throws -> ContainerID {
        let pod = try await findPod(podID, in: namespace)
        claimed.add(pod.id)
        guard pod.status.phase == .ready else {
            throw BerthError(.failedPrecondition, "create container '\(spec.name)': pod '\(pod.id)' is not ready")
        }
        try ContainerSpecCheck.check(spec, pod: pod.spec, facts)
        let digest = try Self.digest(spec)
        let key = OperationKey(
            kind: "CreateContainer", identity: ContainerRow.identity(spec, pod: pod.id), fingerprint: digest,
            subject: "\(Self.subject(pod.spec))/\(spec.name)", caller: caller)
        return try await services.operations.run(
            key, deadline: Self.createDeadline, abandon: { await self.abandon($0, in: namespace) }
        ) { stage in
            if let existing = self.table.container(identity: ContainerRow.identity(spec, pod: pod.id)) {
                return try self.sameContainer(existing, digest)
            }
            return try await during("create container '\(spec.name)' of pod '\(pod.id)'") {
                try await withUndo(onFailedUndo: { self.reportLeftovers($0, of: spec.name) }) { undo in
                    try await self.assemble(spec, digest, pod, undo, stage)
                }
            }
        }
    }

    private func sameContainer(_ existing: ContainerRow, _ digest: String) throws -> ContainerID {
        guard existing.origin.digest == digest, existing.status.phase == .created else {
            let how = existing.origin.digest == digest ? "state \(existing.status.phase)" : "another configuration"
            throw BerthError(
                .alreadyExists,
                "container '\(existing.spec.name)' attempt \(existing.spec.attempt) exists with \(how): \(existing.id)")
        }
        return existing.id
    }

    /// What a create works on.
    private struct Draft: Sendable {
        var id: ContainerID
        var image: ImageInfo
        var config: ImageConfig
        var parent: SnapshotKey?
        var rootfs: [Mount]
        var lease: LeaseID
    }

    /// Lease → snapshot → user, paths, devices → spec → record.
    private func assemble(
        _ spec: ContainerSpec, _ digest: String, _ pod: PodRow, _ undo: UndoStack, _ stage: any OperationStage
    ) async throws -> ContainerID {
        FaultPoint.hit("cri.CreateContainer.begin")
        let draft = try await prepare(spec, pod, undo, stage)
        FaultPoint.hit("cri.CreateContainer.prepared")
        stage.enter("spec", waitingFor: "the request's paths on the host")
        undo.add("the container's files") { try await self.files.removeContainer(draft.id) }
        let plan = try await plan(spec, draft, pod)
        FaultPoint.hit("cri.CreateContainer.paths")
        let oci = try plan.build()
        let json = try oci.json()
        let logPath = logPath(spec, pod)
        if !logPath.isEmpty { try await PodFiles.makeLogDirectory(of: logPath) }
        let stdin = spec.stdin ? try await files.makeStdin(of: draft.id) : ""
        FaultPoint.hit("cri.CreateContainer.files")
        let row = ContainerRow(
            id: draft.id, namespace: pod.namespace,
            origin: .init(
                pod: pod.id, spec: spec, digest: digest, runtime: pod.origin.runtime,
                imageName: Self.imageName(draft.image, asked: spec.image), imageID: draft.image.id.description,
                imageRef: Self.imageRef(draft.image), createdAt: .now(),
                logPath: logPath, stopSignal: try Self.stopSignal(spec, draft.config), user: plan.user,
                arguments: try plan.arguments(), snapshotter: config.snapshotter,
                snapshotKey: SnapshotKey(draft.id.rawValue), stdin: stdin),
            status: .init(phase: .created))
        stage.enter("commit", waitingFor: "database")
        try await commitNew(row, json, labels: labels(spec, draft.config), lease: draft.lease)
        FaultPoint.hit("cri.CreateContainer.created")
        pendingSpecs.keep(json, of: row.id)
        announce(.created, row)
        return row.id
    }

    /// The row, unless the pod has begun to stop meanwhile: its own commits wait for this one.
    private func commitNew(
        _ row: ContainerRow, _ spec: [UInt8], labels: [String: String], lease: LeaseID
    ) async throws {
        try await Task {
            try await commits.run("pod/\(row.origin.pod)") {
                guard table.pod(row.origin.pod)?.status.phase == .ready else {
                    throw BerthError(.failedPrecondition, "pod '\(row.origin.pod)' is not ready any more")
                }
                try await rows.create(row, spec: spec, labels: labels, lease: lease)
                table.put(row)
            }
        }.value
    }

    private func prepare(
        _ spec: ContainerSpec, _ pod: PodRow, _ undo: UndoStack, _ stage: any OperationStage
    ) async throws -> Draft {
        stage.enter("image", waitingFor: "")
        let image = try await services.images.resolve(spec.image, in: pod.namespace)
        let config = try ImageConfig(json: image.config)
        if !config.droppedLabels.isEmpty {
            logger.warning(
                "labels of an image are reserved and were dropped",
                metadata: ["image": "\(image.id)", "labels": "\(config.droppedLabels.prefix(8))"])
        }
        let id = ContainerID(Self.newID())
        let lease = LeaseID("container-\(id.rawValue.prefix(60))")
        let namespace = pod.namespace
        undo.add("the lease") { try await self.rows.deleteLease(lease, in: namespace) }
        let until = Timestamp(nanoseconds: Timestamp.now().nanoseconds + Self.leaseSeconds * 1_000_000_000)
        try await services.metadata.write { writer in
            try writer.createLease(
                LeaseRecord(
                    id: lease,
                    labels: ["containerd.io/gc.expire": until.rfc3339, EngineRows.leaseLabel: id.rawValue]),
                in: namespace)
            try writer.addResource(.content(image.target.digest), to: lease, in: namespace)
        }
        FaultPoint.hit("cri.CreateContainer.leased")
        stage.enter("snapshot", waitingFor: "the snapshotter")
        let parent = try await services.images.unpack(image, snapshotter: self.config.snapshotter, in: namespace)
        let target = SnapshotTarget(self.config.snapshotter, in: namespace, lease: lease)
        undo.add("the snapshot") {
            do { try await self.services.snapshots.remove(SnapshotKey(id.rawValue), on: target) } catch let error
                as BerthError
                where error.code == .notFound
            {}
        }
        let rootfs = try await services.snapshots.prepare(
            SnapshotKey(id.rawValue), parent: parent, readOnly: false, on: target)
        return Draft(id: id, image: image, config: config, parent: parent, rootfs: rootfs, lease: lease)
    }

    private func plan(_ spec: ContainerSpec, _ draft: Draft, _ pod: PodRow) async throws -> ContainerPlan {
        var plan = ContainerPlan(
            id: draft.id, spec: spec, podID: pod.id, pod: pod.spec, namespace: pod.namespace, image: draft.config,
            user: try await user(spec, draft), facts: facts)
        plan.sandboxPID = pod.status.pid
        plan.netns = pod.status.netns
        plan.files = files.paths(of: pod.id)
        plan.mounts = try await HostPaths.mounts(spec.mounts)
        plan.rootfsPropagation =
            spec.mounts.contains { $0.propagation == .bidirectional }
            ? .bidirectional : spec.mounts.contains { $0.propagation == .hostToContainer } ? .hostToContainer : .private
        plan.devices = try await HostPaths.devices(spec.devices)
        if spec.security.privileged {
            let named = Set(plan.devices.map(\.device.path))
            plan.devices += try await HostPaths.allDevices().filter { !named.contains($0.device.path) }
        }
        if case .localhost(let path) = spec.security.seccomp, !spec.security.privileged {
            plan.seccomp = try await HostPaths.seccompProfile(at: path)
        }
        if spec.security.pid == .target { plan.targetPID = try targetPID(spec, pod) }
        let taken = Set(spec.mounts.map { PathCheck.normalized($0.target) })
        let volumes = draft.config.volumes.filter { !taken.contains(PathCheck.normalized($0)) }
        for volume in volumes { try PathCheck.volume(volume) }
        plan.volumes = try await files.makeVolumes(volumes, of: draft.id, rootfs: draft.rootfs)
        return plan
    }

    private func user(_ spec: ContainerSpec, _ draft: Draft) async throws -> ResolvedUser {
        let request = try AccountRequest(spec.security.user, image: draft.config.user)
        let key = AccountCache.Key(
            parent: draft.parent ?? "", snapshotter: config.snapshotter, request: request,
            supplemental: spec.security.supplementalGroups, strict: spec.security.strictGroups)
        if let known = accounts.user(key) { return known }
        let rootfs = draft.rootfs
        let user = try await Blocking.run {
            let tree = try RootfsView.open(rootfs)
            return try RootfsView.accounts(below: tree.rawValue).resolve(
                request, supplemental: key.supplemental, strict: key.strict)
        }
        accounts.keep(user, for: key)
        return user
    }

    private func targetPID(_ spec: ContainerSpec, _ pod: PodRow) throws -> UInt32 {
        let target = ContainerID(spec.security.pidTarget)
        guard let row = table.container(target), row.origin.pod == pod.id else {
            throw BerthError(.invalidArgument, "namespace_options.target_id: the pod has no container '\(target)'")
        }
        guard row.status.phase == .running, row.status.pid != 0 else {
            throw BerthError(.failedPrecondition, "namespace_options.target_id: container '\(target)' does not run")
        }
        return row.status.pid
    }

    private func logPath(_ spec: ContainerSpec, _ pod: PodRow) -> String {
        if spec.logPath.isEmpty { return "" }
        let directory = pod.spec.logDirectory.isEmpty ? files.logDirectory(of: pod.id) : pod.spec.logDirectory
        return directory.hasSuffix("/") ? directory + spec.logPath : "\(directory)/\(spec.logPath)"
    }

    /// Request, image, SIGTERM: the first that says something.
    private static func stopSignal(_ spec: ContainerSpec, _ image: ImageConfig) throws -> String {
        let text = spec.stopSignal.isEmpty ? image.stopSignal : spec.stopSignal
        return SignalName.name(of: text.isEmpty ? 15 : try SignalName.number(text))
    }

    private static func imageName(_ image: ImageInfo, asked: String) -> String {
        image.names.contains(asked) ? asked : image.names.first { !$0.contains("@") } ?? asked
    }

    private static func imageRef(_ image: ImageInfo) -> String {
        image.names.first { $0.contains("@") } ?? image.id.description
    }

    /// The image's labels under the request's; reserved and overlong ones of the image are left out.
    private func labels(_ spec: ContainerSpec, _ image: ImageConfig) -> [String: String] {
        let short = image.labels.filter { $0.key.utf8.count + $0.value.utf8.count <= EngineRows.maxLabel }
        return short.merging(spec.labels) { $1 }
    }

    private func reportLeftovers(_ failures: [UndoStack.Failure], of name: String) {
        let left = failures.map { "\($0.label): \($0.error)" }
        logger.error("a container is left half undone", metadata: ["container": "\(name)", "error": "\(left)"])
    }

    /// Nobody took the container for ten minutes: it goes, unless somebody found it and started it.
    private func abandon(_ id: ContainerID, in namespace: NamespaceID) async {
        guard table.container(id)?.status.phase == .created else { return }
        if let error = await problem({ try await removeContainer(id, in: namespace) }) {
            logger.error(
                "a container nobody asked for again is still there",
                metadata: ["container": "\(id)", "error": "\(error)"])
        }
    }
}

extension PathCheck {
    /// An image's volume: an absolute path below the root that is not /proc or /sys (CVE-2019-16884). `..` cannot leave
    /// the root.
    static func volume(_ path: String) throws {
        let plain = normalized(path)
        let forbidden = ["/proc", "/sys", "/dev"].contains { plain == $0 || plain.hasPrefix($0 + "/") }
        guard path.hasPrefix("/"), plain != "/", !path.utf8.contains(0), !forbidden else {
            throw BerthError(.invalidArgument, "the image's volume '\(path)' is not at a place where one may be")
        }
    }
}
