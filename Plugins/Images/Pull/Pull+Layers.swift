internal import BerthBase
internal import BerthOCI
internal import BerthServices

extension Pull {
    /// Fetches layers in parallel and unpacks them in order as they come.
    ///
    /// - Returns: the chain of all layers; nil for an image without any.
    func fetchAndUnpack(_ layers: [Descriptor], _ diffIDs: [Digest]) async throws -> Digest? {
        var growths: [Digest: BlobGrowth] = [:]
        var unique: [Descriptor] = []
        for layer in layers where growths[layer.digest] == nil {
            growths[layer.digest] = BlobGrowth()
            unique.append(layer)
        }
        let downloads = unique.map { layer in
            BlobDownload(pull: self, descriptor: layer, kind: "layer", growth: growths[layer.digest] ?? BlobGrowth())
        }
        let known = growths
        return try await withThrowingTaskGroup(of: Digest?.self) { group in
            group.addTask { try await fetch(downloads) }
            group.addTask { try await unpack(layers, diffIDs, known) }
            group.addTask { try await watch() }
            defer { group.cancelAll() }
            var top: Digest?
            for _ in 0..<2 {
                guard let done = try await group.next() else { break }
                top = done ?? top
            }
            return top
        }
    }

    private func fetch(_ downloads: [BlobDownload]) async throws -> Digest? {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, download) in downloads.enumerated() {
                if index >= services.config.maxConcurrentDownloads { try await group.next() }
                group.addTask {
                    do { try await download.run() } catch {
                        download.growth.finish(.failure(error))
                        throw error
                    }
                }
            }
            try await group.waitForAll()
        }
        return nil
    }

    private func unpack(
        _ layers: [Descriptor], _ diffIDs: [Digest], _ growths: [Digest: BlobGrowth]
    ) async throws -> Digest? {
        var below: Digest?
        for (layer, diffID) in zip(layers, diffIDs) {
            let chainID = try LayerUnpack.chainID(of: diffID, on: below)
            guard let growth = growths[layer.digest] else { continue }
            let target = SnapshotTarget(snapshotter, in: request.namespace, lease: lease.id)
            let step = LayerUnpack(
                services: services, layer: layer, diffID: diffID, parent: below.map { SnapshotKey($0.description) },
                chainID: chainID, target: target, growth: growth, board: board)
            let unpacked = try await step.run()
            if !unpacked { try await growth.stored() }
            board.set(layer.digest, unpacked ? .done : .exists)
            below = chainID
        }
        return below
    }

    /// Ends a pull in which nothing moves: neither bytes from the network nor files from the helper.
    private func watch() async throws -> Digest? {
        let limit = Duration.seconds(services.config.progressTimeoutSeconds)
        while true {
            try await Task.sleep(for: min(.seconds(1), limit / 4))
            guard board.idle > limit else { continue }
            throw BerthError(
                .unavailable, "nothing was received or unpacked for \(services.config.progressTimeoutSeconds) seconds")
        }
    }
}

/// Brings one blob into the store and its row into the namespace.
struct BlobDownload: Sendable {
    let pull: Pull
    let descriptor: Descriptor
    let kind: String
    let growth: BlobGrowth

    func run() async throws {
        let digest = descriptor.digest
        try await pull.lease.hold(.content(digest))
        // The row and the lease hold a blob that is there; if the collector took it just before, it comes anew.
        if try await isStored() {
            try await record()
            if try await isStored() { return done(.exists) }
        }
        let ref = "\(kind)-\(digest)"
        try await pull.lease.hold(.ingest(ref: ref))
        let board = pull.board
        let what = "get \(kind) \(digest) of '\(pull.reference.name)'"
        let sink = try await BlobSink.open(descriptor, ref: ref, in: pull.services.content, what: what, growth: growth)
        {
            board.advance(digest, to: $0)
        }
        if let sink {
            do { try await fetch(into: sink, what) } catch {
                // What arrived is for the next try; of no use is nothing, and on a full disk the room is worth more.
                let isFull = (error as? BerthError)?.code == .resourceExhausted
                if sink.offset == 0 || isFull { await sink.discard() } else { await sink.close() }
                throw error
            }
            FaultPoint.hit("pull.blob")
        }
        try await record()
        FaultPoint.hit("pull.blob-row")
        done(nil)
    }

    private func done(_ state: PullProgress.Layer.State?) {
        if let state { pull.board.set(descriptor.digest, state) } else { pull.board.touch() }
        growth.finish(.success(()))
    }

    private func isStored() async throws -> Bool {
        do {
            let info = try await pull.services.content.info(descriptor.digest)
            guard info.size == descriptor.size else {
                throw BerthError(
                    .dataLoss,
                    "\(kind) \(descriptor.digest) has \(info.size) bytes, the manifest says \(descriptor.size)")
            }
            return true
        } catch let error as BerthError where error.code == .notFound {
            return false
        }
    }

    private func record() async throws {
        try await pull.recorder.record([(descriptor, [:])], durability: .process)
    }

    /// A foreign layer comes from the addresses in the manifest, or from the registry if that has it.
    private func fetch(into sink: BlobSink, _ what: String) async throws {
        var failures: [BerthError] = []
        if MediaType.isForeignLayer(descriptor.mediaType) {
            for address in (descriptor.urls ?? []).prefix(Pull.maxForeignAddresses) {
                do { return try await pull.client.fetch(foreign: address, into: sink, what: what) } catch let error
                    as BerthError
                {
                    if error.code == .resourceExhausted { throw error }
                    failures.append(error)
                }
            }
        }
        do { try await pull.client.fetch(descriptor.digest, into: sink, what: what) } catch let error as BerthError {
            guard let first = failures.first else { throw error }
            throw BerthError(error.code, "\(error.message); before that \(first)")
        }
    }
}
