internal import BerthBase
internal import BerthServices

extension SnapshotterConformance {
    private static func attempt(_ body: () async throws -> Void) async -> BerthError.Code? {
        do { try await body() } catch { return BerthError.wrapping(error).code }
        return nil
    }

    /// Runs `count` bodies at once and returns the codes of their errors, nil for success.
    private static func all(
        _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Void
    ) async -> [BerthError.Code?] {
        await withTaskGroup(of: BerthError.Code?.self) { group in
            for index in 0..<count { group.addTask { await attempt { try await body(index) } } }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// Many callers at once.
    static let concurrencyCases: [Case] = [
        Case("of many that prepare one key, one succeeds") { world in
            let results = await all(32) { _ in _ = try await world.snapshotter.prepare("a", parent: nil, labels: [:]) }
            try expect(results.count { $0 == nil } == 1, "one succeeds; \(results.count { $0 == nil }) did")
            try expect(results.allSatisfy { $0 == nil || $0 == .alreadyExists }, "the others get alreadyExists")
        },
        Case("of many that commit under one name, one succeeds") { world in
            for index in 0..<16 {
                _ = try await world.snapshotter.prepare(SnapshotKey("a\(index)"), parent: nil, labels: [:])
            }
            let results = await all(16) { index in
                try await world.snapshotter.commit("n", from: SnapshotKey("a\(index)"), parent: nil, labels: [:])
            }
            try expect(results.count { $0 == nil } == 1, "one succeeds; \(results.count { $0 == nil }) did")
            try expect(results.allSatisfy { $0 == nil || $0 == .alreadyExists }, "the others get alreadyExists")
            try expect(try await world.snapshotter.list().count == 16, "the others' snapshots are still there")
        },
        Case("of many that remove one snapshot, one succeeds") { world in
            _ = try await world.snapshotter.prepare("a", parent: nil, labels: [:])
            let results = await all(16) { _ in try await world.snapshotter.remove("a") }
            try expect(results.count { $0 == nil } == 1, "one succeeds; \(results.count { $0 == nil }) did")
            try expect(results.allSatisfy { $0 == nil || $0 == .notFound }, "the others get notFound")
        },
        Case("a parent is never removed under a child that is being made") { world in
            for round in 0..<10 {
                let base = SnapshotKey("base\(round)")
                try await world.layer(base)
                let results = await all(8) { index in
                    if index == 3 {
                        try await world.snapshotter.remove(base)
                    } else {
                        _ = try await world.snapshotter.prepare(
                            SnapshotKey("c\(round)-\(index)"), parent: base, labels: [:])
                    }
                }
                _ = results
                for info in try await world.snapshotter.list() {
                    guard let parent = info.parent else { continue }
                    try expect((try? await world.snapshotter.stat(parent)) != nil, "'\(info.key)' still has its parent")
                }
            }
        },
        Case("a hundred pods' worth of snapshots at once") { world in
            try await world.layer("image")
            let results = await all(100) { index in
                let key = SnapshotKey("c\(index)")
                _ = try await world.snapshotter.prepare(key, parent: "image", labels: ["n": "\(index)"])
                _ = try await world.snapshotter.usage(of: key)
                if index.isMultiple(of: 2) { try await world.snapshotter.remove(key) }
            }
            try expect(results.allSatisfy { $0 == nil }, "all succeed; errors: \(results.compactMap { $0 })")
            try expect(try await world.snapshotter.list().count == 51, "half of them are left, and the image")
        },
        Case("many layers become durable together") { world in
            for index in 0..<20 { try await world.layer(SnapshotKey("n\(index)")) }
            let results = await all(20) { try await world.snapshotter.makeDurable(SnapshotKey("n\($0)")) }
            try expect(results.allSatisfy { $0 == nil }, "all succeed; errors: \(results.compactMap { $0 })")
            for index in 0..<20 {
                let durability = try await world.snapshotter.durability(of: SnapshotKey("n\(index)"))
                try expect(durability == .durable, "layer \(index) is durable")
            }
        },
    ]

    /// What a restart finds.
    static let restartCases: [Case] = [
        Case("a restart finds every snapshot as it was", needs: .persistent) { world in
            try await world.layer("base")
            try await world.layer("top", on: "base")
            try await world.snapshotter.makeDurable("base")
            _ = try await world.snapshotter.prepare("a", parent: "top", labels: ["k": "v"])
            _ = try await world.snapshotter.view("v", parent: "top", labels: [:])
            _ = try await world.snapshotter.update("a", labels: ["k": "w"], fields: ["labels.k"])
            let before = try await world.snapshotter.list()
            let again = try await world.reopened()
            try expect(try await again.list() == before, "the list is the same")
            try expect(try await again.mounts(of: "a") == world.snapshotter.mounts(of: "a"), "the mounts are the same")
            try expect(try await again.durability(of: "base") == .durable, "what was durable is")
            let top = try await again.durability(of: "top")
            try expect(top != .durable, "what was not durable is not")
            try await expect(.failedPrecondition, "removal of a parent") { try await again.remove("base") }
        },
        Case("a restart finds what was removed gone, and gives its key away again", needs: .persistent) { world in
            _ = try await world.snapshotter.prepare("a", parent: nil, labels: ["old": "1"])
            try await world.snapshotter.remove("a")
            let again = try await world.reopened()
            try await expect(.notFound, "stat of a removed one") { try await again.stat("a") }
            _ = try await again.prepare("a", parent: nil, labels: ["new": "1"])
            try expect(try await world.reopened().stat("a").labels == ["new": "1"], "the later one counts")
        },
        Case("files survive a restart", needs: [.persistent, .mounts]) { world in
            try await world.layer("base", on: nil) { try $0.write("f", "base") }
            try MountedSnapshot(await world.snapshotter.prepare("a", parent: "base", labels: [:])).write("g", "active")
            let mounted = try MountedSnapshot(await world.reopened().mounts(of: "a"))
            try expect(mounted.read("f") == "base" && mounted.read("g") == "active", "both files are there")
        },
    ]
}
