internal import BerthArchive
internal import BerthBase
internal import BerthDigest
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import Logging
internal import SystemPackage

/// Turns one layer into a committed snapshot, while its blob still arrives.
struct LayerUnpack: Sendable {
    let services: PullServices
    let layer: Descriptor
    let diffID: Digest
    /// The name of the snapshot below; nil for the first layer.
    let parent: SnapshotKey?
    /// The name the snapshot gets.
    let chainID: Digest
    let target: SnapshotTarget
    let growth: BlobGrowth
    let board: PullBoard

    private var name: SnapshotKey { SnapshotKey(chainID.description) }

    /// The chain of a layer on `below`. Source: OCI image spec, "Layer ChainID".
    static func chainID(of diffID: Digest, on below: Digest?) throws -> Digest {
        guard let below else { return diffID }
        return try ContentHash.digest(of: Array("\(below) \(diffID)".utf8))
    }

    /// - Returns: whether there was something to unpack.
    @discardableResult
    func run() async throws -> Bool {
        // The snapshot of a chain is one a namespace and a snapshotter.
        try await services.chains.run("\(target.namespace)/\(target.snapshotter)/\(chainID)") {
            if try await exists() { return false }
            try await make()
            services.durability.add(name, on: target)
            return true
        }
    }

    /// Held first and looked for then, so that the collector cannot take it in between.
    private func exists() async throws -> Bool {
        if let lease = target.lease {
            let resource = LeaseResource.snapshot(snapshotter: target.snapshotter, key: name)
            let namespace = target.namespace
            try await services.metadata.write { try $0.addResource(resource, to: lease, in: namespace) }
        }
        do {
            _ = try await services.snapshots.stat(name, on: target)
        } catch let error as BerthError where error.code == .notFound {
            return false
        }
        return true
    }

    private func make() async throws {
        // What another server restarted is unpacked anew from its beginning; the second time from the stored blob.
        for attempt in 0..<2 {
            let restarts = growth.restarts
            do { return try await makeOnce(restarts) } catch {
                // Bytes that made no sense may have been those of a mirror that lies; and a download that failed
                // says better what is wrong than the helper that got its bytes.
                try await growth.stored()
                guard growth.restarts != restarts, attempt == 0 else { throw error }
            }
        }
    }

    private struct Restarted: Error, CustomStringConvertible {
        let description = "the download of a layer began anew while it was unpacked"
    }

    private func makeOnce(_ restarts: Int) async throws {
        // Nothing is prepared before there is something to put into it.
        let first = try await growth.next(after: 0, since: restarts)
        if case .restarted = first { throw Restarted() }
        let number = UInt64.random(in: .min ... .max)
        let key = SnapshotKey("extract-\(Timestamp.now().subsecond)-\(String(number, radix: 36)) \(chainID)")
        var preparing = target
        preparing.labels = [GCLabel.pull: "extract", "containerd.io/snapshot.ref": chainID.description]
        let mounts = try await services.snapshots.prepare(key, parent: parent, readOnly: false, on: preparing)
        FaultPoint.hit("pull.prepared")
        try await withUndo { undo in
            undo.add("remove the unfinished snapshot") { await discard(key) }
            board.set(layer.digest, .unpacking)
            try await unpack(into: mounts, first, restarts)
            FaultPoint.hit("pull.unpacked")
            // The bytes were followed as they came: they count once their digest is known to be right.
            try await growth.stored()
            try await commit(key)
            FaultPoint.hit("pull.committed")
        }
    }

    /// Removes an unfinished snapshot. On a full disk its row cannot be deleted before its files have made room.
    private func discard(_ key: SnapshotKey) async {
        let (snapshots, metadata, target) = (services.snapshots, services.metadata, target)
        await services.cleanup.insist("remove snapshot '\(key)'") {
            do { try await snapshots.remove(key, on: target) } catch let error as BerthError
                where error.code == .resourceExhausted
            {
                let row = try await metadata.read {
                    try $0.snapshot(key, of: target.snapshotter, in: target.namespace)
                }
                try? await snapshots.driver(target.snapshotter).remove(row.backendKey)
                throw error
            }
        }
    }

    private func commit(_ key: SnapshotKey) async throws {
        var committing = target
        committing.labels = [:]
        do {
            try await services.snapshots.commit(name, from: key, on: committing)
        } catch let error as BerthError where error.code == .alreadyExists {
            // A client unpacked the same layer by the API meanwhile.
            try await services.snapshots.remove(key, on: target)
        }
    }

    private func unpack(into mounts: [Mount], _ first: BlobGrowth.Step, _ restarts: Int) async throws {
        var request = try UnpackRequest(Compression(mediaType: layer.mediaType), mounts: mounts)
        request.diffID = diffID
        let wanted = request
        // Starting a process blocks.
        func starting(
            _ body: @escaping @Sendable (UnpackRequest, UnpackSession.Command) throws -> UnpackSession
        ) async throws -> UnpackSession {
            let helper = services.helper
            return try await Blocking.run(on: UnpackSession.lane) { try body(wanted, helper) }
        }
        do {
            guard case .grown(let path, _) = first, let file = try open(path) else {
                try await growth.stored()
                let blob = try await services.content.path(of: layer.digest)
                let session = try await starting { try UnpackSession.begin(blob: blob.string, $0, $1) }
                return try await finish(session)
            }
            let session = try await starting { try UnpackSession.start($0, $1) }
            try await withTaskCancellationHandler {
                try await follow(file, restarts, session)
            } onCancel: {
                session.cancel()
            }
            try await finish(session)
        } catch let error as BerthError {
            throw error.during("unpack layer \(layer.digest)")
        }
    }

    /// An open file that closes itself.
    private final class OpenFile: Sendable {
        let descriptor: OwnedFD
        init(_ descriptor: consuming OwnedFD) { self.descriptor = descriptor }
    }

    /// Nil if the blob became whole meanwhile, and the file moved.
    private func open(_ path: FilePath) throws -> OpenFile? {
        do { return OpenFile(try Files.open(path.string, O_RDONLY)) } catch {
            if error == .noSuchFileOrDirectory { return nil }
            throw BerthError(error, "follow layer \(layer.digest)")
        }
    }

    /// Feeds the helper from the file that grows.
    private func follow(_ file: OpenFile, _ restarts: Int, _ session: UnpackSession) async throws {
        var offset: Int64 = 0
        do {
            while offset < layer.size {
                let step = try await growth.next(after: offset, since: restarts)
                let end: Int64
                switch step {
                case .restarted: throw Restarted()
                case .grown(_, let available): end = available
                case .stored: end = layer.size
                }
                let start = offset
                let reached = try await Blocking.run(on: UnpackSession.lane) {
                    try session.sendBlocking(file: file.descriptor.rawValue, from: start, to: end)
                }
                board.touch()
                if case .stored = step, reached < end { throw Restarted() }
                offset = reached
            }
        } catch let error as BerthError where error.code == .aborted {
            // The helper ended: it knows why.
            _ = try await session.finish()
            throw error
        } catch {
            session.cancel()
            _ = try? await session.finish()
            throw error
        }
    }

    /// Waits for the helper, and counts its progress as the pull's.
    private func finish(_ session: UnpackSession) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var seen: Int64 = -1
                while true {
                    try await Task.sleep(for: .milliseconds(500))
                    if session.progress != seen { board.touch() }
                    seen = session.progress
                }
            }
            group.addTask { _ = try await session.finish() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
