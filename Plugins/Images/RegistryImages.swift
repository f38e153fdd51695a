package import BerthArchive
internal import BerthBase
package import BerthKernel
internal import BerthOCI
internal import BerthServices
internal import Logging

extension Plugin {
    /// Images pulled from registries.
    ///
    /// - Parameter helper: how the unpack helper is run; the daemon's own file by default.
    package static func registryImages(helper: UnpackSession.Command = .init()) -> Plugin {
        Plugin(
            "registry", provides: .images, config: RegistryConfig.self,
            requires: .one(.metadata), .one(.content), .one(.snapshots)
        ) { context, metadata, content, snapshots in
            let config = context.config
            let clients = RegistryClients(
                hosts: RegistryHosts(folders: config.certsDirs, plainHTTP: Set(config.plainHTTP)),
                docker: DockerConfig(path: config.dockerConfig), settings: TransferSettings(config))
            var helper = helper
            helper.nursery = UnpackNursery(helper)
            let services = PullServices(
                config: config, metadata: metadata, content: content, snapshots: snapshots, clients: clients,
                helper: helper, durability: DurabilityQueue(), cleanup: CleanupQueue(), logger: context.logger)
            let images = RegistryImages(services: services)
            try await images.removeLeftovers()
            context.onStop("close connections") { clients.close() }
            context.onStop("end the unpack nursery") { [helper] in await helper.nursery?.close() }
            context.run("make layers durable") { await services.durability.run(snapshots, context.logger) }
            context.run("undo what failed pulls left") { try await services.cleanup.run(context.logger) }
            context.run("close idle connections") {
                while true {
                    try await Task.sleep(for: .seconds(30))
                    clients.expireIdle()
                }
            }
            return images
        }
    }
}

extension TransferSettings {
    init(_ config: RegistryConfig) {
        dialTimeout = .seconds(config.dialTimeoutSeconds)
        // A transfer that stalls is tried again before the whole pull counts as stuck.
        stallTimeout = .seconds(config.progressTimeoutSeconds) / 2
        maxTries = config.maxTries
    }
}

/// Images: pulled from registries, unpacked as snapshots, found by name or ID.
struct RegistryImages: ImageService {
    let services: PullServices
    let catalog: ImageCatalog

    init(services: PullServices) {
        self.services = services
        catalog = ImageCatalog(metadata: services.metadata, content: services.content)
    }

    func normalize(_ reference: String) throws -> String { try ImageReference(reference).description }

    func pull(
        _ request: PullRequest, progress: @escaping @Sendable (PullProgress) -> Void
    ) async throws -> ImageInfo {
        let reference = try ImageReference(request.reference)
        return try await during("pull '\(reference)'") {
            let snapshotter = request.snapshotter ?? services.config.snapshotter
            _ = try services.snapshots.driver(snapshotter)
            let board = PullBoard(progress)
            board.enter("resolving")
            let helper = services.helper
            // The helpers' process is loaded while the registry thinks.
            try? await Blocking.run(on: UnpackSession.lane) { try helper.nursery?.warmUp() }
            let client = try await services.clients.client(
                for: reference, request.credential, plainHTTP: request.plainHTTP)
            let lease = try await PullLease("pull \(reference)", in: request.namespace, services)
            FaultPoint.hit("pull.leased")
            let pull = Pull(
                services: services, reference: reference, request: request,
                choice: request.platform.map(PlatformChoice.init) ?? .host, snapshotter: snapshotter, client: client,
                lease: lease, board: board,
                recorder: BlobRecorder(reference: reference, lease: lease, metadata: services.metadata))
            let names: [String]
            do { names = try await pull.run() } catch {
                await lease.release()
                throw error
            }
            await lease.release()
            FaultPoint.hit("pull.released")
            guard let name = names.first else { throw BerthError(.internal, "it got no name") }
            return try await catalog.resolve(name, in: request.namespace, choice: pull.choice)
        }
    }

    func resolve(_ nameOrID: String, in namespace: NamespaceID) async throws -> ImageInfo {
        try await catalog.resolve(nameOrID, in: namespace, choice: .host)
    }

    func list(in namespace: NamespaceID) async throws -> [ImageInfo] { try await catalog.list(in: namespace) }

    func remove(_ nameOrID: String, in namespace: NamespaceID) async throws -> [String] {
        try await catalog.remove(nameOrID, in: namespace)
    }

    func unpack(_ image: ImageInfo, snapshotter: String, in namespace: NamespaceID) async throws -> SnapshotKey? {
        try await during("unpack image \(image.id)") {
            _ = try services.snapshots.driver(snapshotter)
            let bytes = try await services.content.readAll(image.manifest.digest)
            guard case .manifest(let manifest) = try ImageDocument(bytes, mediaType: image.manifest.mediaType),
                manifest.layers.count == image.diffIDs.count
            else { throw BerthError(.failedPrecondition, "its manifest does not fit its config") }
            let lease = try await PullLease("unpack \(image.id)", in: namespace, services)
            do {
                let top = try await unpack(manifest, image, SnapshotTarget(snapshotter, in: namespace, lease: lease.id))
                await lease.release()
                return top.map { SnapshotKey($0.description) }
            } catch {
                await lease.release()
                throw error
            }
        }
    }

    private func unpack(_ manifest: ImageManifest, _ image: ImageInfo, _ target: SnapshotTarget) async throws -> Digest?
    {
        var below: Digest?
        for (layer, diffID) in zip(manifest.layers, image.diffIDs) {
            let growth = BlobGrowth()
            growth.finish(.success(()))
            let chainID = try LayerUnpack.chainID(of: diffID, on: below)
            try await LayerUnpack(
                services: services, layer: layer, diffID: diffID, parent: below.map { SnapshotKey($0.description) },
                chainID: chainID, target: target, growth: growth, board: PullBoard { _ in }
            ).run()
            below = chainID
        }
        guard let below else { return nil }
        let label = (GCLabel.snapshot(target.snapshotter), below.description)
        let (digest, namespace) = (image.id, target.namespace)
        try await services.metadata.write(durability: .powerCut) { writer in
            var config = try writer.blob(digest, in: namespace)
            config.labels[label.0] = label.1
            try writer.putBlob(config, in: namespace)
        }
        return below
    }

    /// Removes what pulls of an earlier run of the daemon left: their leases and their unfinished snapshots.
    func removeLeftovers() async throws {
        let names = services.snapshots.snapshotters
        let metadata = services.metadata
        let namespaces = try await metadata.read { try $0.namespaces().map(\.name) }
        for namespace in namespaces {
            let snapshots = try await metadata.read { reader in
                try names.flatMap { try reader.snapshots(of: $0, in: namespace, filters: []) }
                    .filter { $0.labels[GCLabel.pull] != nil && $0.key.rawValue.hasPrefix("extract-") }
            }
            for row in snapshots {
                services.logger.notice("removing an unfinished layer", metadata: ["snapshot": "\(row.key)"])
                do {
                    try await services.snapshots.remove(row.key, on: SnapshotTarget(row.snapshotter, in: namespace))
                } catch {
                    services.logger.warning("it stays", metadata: ["snapshot": "\(row.key)", "error": "\(error)"])
                }
            }
            try await metadata.write { writer in
                for lease in try writer.leases(in: namespace, filters: []) where lease.labels[GCLabel.pull] != nil {
                    try writer.deleteLease(lease.id, in: namespace)
                }
            }
        }
    }
}
