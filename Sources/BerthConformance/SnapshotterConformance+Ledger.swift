internal import BerthBase
internal import BerthServices

extension SnapshotterConformance {
    /// What is known of snapshots.
    static let ledgerCases: [Case] = [
        Case("a prepared snapshot is known with its parent, kind and labels") { world in
            try await world.layer("base")
            _ = try await world.snapshotter.prepare("a", parent: "base", labels: ["k": "v"])
            let info = try await world.snapshotter.stat("a")
            try expect(info.key == "a" && info.parent == "base", "the key is 'a' and the parent 'base'")
            try expect(info.kind == .active, "a prepared snapshot is active")
            try expect(info.labels == ["k": "v"], "the labels are those given")
            try expect(info.createdAt.nanoseconds > 0, "it has a time of creation")
            _ = try await world.snapshotter.view("v", parent: "base", labels: [:])
            try expect(try await world.snapshotter.stat("v").kind == .view, "a view is a view")
        },
        Case("what does not exist is not found") { world in
            let snapshotter = world.snapshotter
            try await expect(.notFound, "stat") { try await snapshotter.stat("x") }
            try await expect(.notFound, "update") { try await snapshotter.update("x", labels: [:], fields: []) }
            try await expect(.notFound, "usage") { try await snapshotter.usage(of: "x") }
            try await expect(.notFound, "mounts") { try await snapshotter.mounts(of: "x") }
            try await expect(.notFound, "remove") { try await snapshotter.remove("x") }
            try await expect(.notFound, "commit") {
                try await snapshotter.commit("n", from: "x", parent: nil, labels: [:])
            }
            try await expect(.notFound, "prepare on it") {
                try await snapshotter.prepare("a", parent: "x", labels: [:])
            }
            try await expect(.notFound, "view of it") { try await snapshotter.view("a", parent: "x", labels: [:]) }
            try await expect(.notFound, "makeDurable") { try await snapshotter.makeDurable("x") }
            try await expect(.notFound, "durability") { try await snapshotter.durability(of: "x") }
            try expect(try await snapshotter.list().isEmpty, "failures leave nothing in the list")
        },
        Case("a key is taken once, by whichever kind") { world in
            let snapshotter = world.snapshotter
            try await world.layer("base")
            _ = try await snapshotter.prepare("a", parent: nil, labels: [:])
            _ = try await snapshotter.view("v", parent: "base", labels: [:])
            for key: SnapshotKey in ["a", "v", "base"] {
                try await expect(.alreadyExists, "prepare '\(key)'") {
                    try await snapshotter.prepare(key, parent: nil, labels: [:])
                }
                try await expect(.alreadyExists, "view '\(key)'") {
                    try await snapshotter.view(key, parent: "base", labels: [:])
                }
                try await expect(.alreadyExists, "commit as '\(key)'") {
                    try await snapshotter.commit(key, from: "a", parent: nil, labels: [:])
                }
            }
            try expect(try await snapshotter.stat("a").kind == .active, "a refused commit leaves the snapshot active")
        },
        Case("only a committed snapshot is a parent") { world in
            let snapshotter = world.snapshotter
            try await world.layer("base")
            _ = try await snapshotter.prepare("a", parent: nil, labels: [:])
            _ = try await snapshotter.view("v", parent: "base", labels: [:])
            for parent: SnapshotKey in ["a", "v"] {
                try await expect(.invalidArgument, "prepare on '\(parent)'") {
                    try await snapshotter.prepare("b", parent: parent, labels: [:])
                }
            }
        },
        Case("keys of any characters stay apart") { world in
            let snapshotter = world.snapshotter
            let long = SnapshotKey(String(repeating: "k", count: 1000))
            let keys: [SnapshotKey] = ["k8s.io/12/sha256:ab", "../../x", "a b", "ü/é", "a", "A", ".", long, "\"'\\\n"]
            for key in keys { _ = try await snapshotter.prepare(key, parent: nil, labels: ["is": key.rawValue]) }
            for key in keys {
                try expect(try await snapshotter.stat(key).labels["is"] == key.rawValue, "'\(key)' has its own labels")
            }
            try expect(try await snapshotter.list().count == keys.count, "all are listed")
        },
        Case("the list is ordered by key and holds all kinds") { world in
            for name: SnapshotKey in ["c", "a", "b"] { try await world.layer(name) }
            _ = try await world.snapshotter.prepare("bb", parent: "b", labels: [:])
            _ = try await world.snapshotter.view("0", parent: "c", labels: [:])
            let keys = try await world.snapshotter.list().map(\.key)
            try expect(keys == ["0", "a", "b", "bb", "c"], "the list is ordered; it is \(keys)")
        },
        Case("mounts are the same when asked for again, and a committed snapshot has none") { world in
            let snapshotter = world.snapshotter
            try await world.layer("one")
            try await world.layer("two", on: "one")
            let prepared = try await snapshotter.prepare("a", parent: "two", labels: [:])
            try expect(try await snapshotter.mounts(of: "a") == prepared, "mounts(of:) answers as prepare did")
            let viewed = try await snapshotter.view("v", parent: "two", labels: [:])
            try expect(try await snapshotter.mounts(of: "v") == viewed, "mounts(of:) answers as view did")
            try await expect(.failedPrecondition, "mounts of a committed one") {
                try await snapshotter.mounts(of: "two")
            }
        },
    ]

    /// Commit, update, remove, durability.
    static let changeCases: [Case] = [
        Case("commit turns the key into the name, with the labels of the commit") { world in
            let snapshotter = world.snapshotter
            try await world.layer("base")
            _ = try await snapshotter.prepare("a", parent: "base", labels: ["old": "1"])
            try await snapshotter.commit("n", from: "a", parent: nil, labels: ["new": "2"])
            try await expect(.notFound, "stat of the key") { try await snapshotter.stat("a") }
            let info = try await snapshotter.stat("n")
            try expect(info.kind == .committed && info.parent == "base", "the name is committed, on the same parent")
            try expect(info.labels == ["new": "2"], "the labels are those of the commit")
            _ = try await snapshotter.prepare("a", parent: "n", labels: [:])
        },
        Case("a view or a committed snapshot cannot be committed") { world in
            let snapshotter = world.snapshotter
            try await world.layer("base")
            _ = try await snapshotter.view("v", parent: "base", labels: [:])
            for key: SnapshotKey in ["v", "base"] {
                try await expect(.failedPrecondition, "commit of '\(key)'") {
                    try await snapshotter.commit("n", from: key, parent: nil, labels: [:])
                }
            }
        },
        Case("a commit on another parent rebases, or is refused as unimplemented") { world in
            let snapshotter = world.snapshotter
            try await world.layer("base")
            _ = try await snapshotter.prepare("a", parent: nil, labels: [:])
            guard snapshotter.canRebase else {
                try await expect(.unimplemented, "commit on another parent") {
                    try await snapshotter.commit("n", from: "a", parent: "base", labels: [:])
                }
                return
            }
            try await expect(.notFound, "commit on a parent that does not exist") {
                try await snapshotter.commit("n", from: "a", parent: "x", labels: [:])
            }
            try await snapshotter.commit("n", from: "a", parent: "base", labels: [:])
            try expect(try await snapshotter.stat("n").parent == "base", "the parent is that of the commit")
            try await expect(.failedPrecondition, "removal of the new parent") { try await snapshotter.remove("base") }
        },
        Case("update replaces all labels, or those named") { world in
            let snapshotter = world.snapshotter
            _ = try await snapshotter.prepare("a", parent: nil, labels: ["x": "1", "y": "2"])
            let before = try await snapshotter.stat("a")
            let one = try await snapshotter.update("a", labels: ["x": "3", "z": "4"], fields: ["labels.x"])
            try expect(one.labels == ["x": "3", "y": "2"], "one named label is set; they are \(one.labels)")
            let gone = try await snapshotter.update("a", labels: [:], fields: ["labels.y"])
            try expect(gone.labels == ["x": "3"], "a named label that is not given is removed")
            let all = try await snapshotter.update("a", labels: ["w": "5"], fields: [])
            try expect(all.labels == ["w": "5"], "without fields all labels are replaced")
            try expect(all.updatedAt >= before.updatedAt, "the time of the update goes forward")
            try expect(try await snapshotter.stat("a") == all, "stat answers as update did")
            try await expect(.invalidArgument, "update of 'kind'") {
                try await snapshotter.update("a", labels: [:], fields: ["kind"])
            }
        },
        Case("a snapshot with children stays until they are gone") { world in
            let snapshotter = world.snapshotter
            try await world.layer("base")
            try await world.layer("top", on: "base")
            _ = try await snapshotter.prepare("a", parent: "top", labels: [:])
            _ = try await snapshotter.view("v", parent: "top", labels: [:])
            try await expect(.failedPrecondition, "remove 'base'") { try await snapshotter.remove("base") }
            try await snapshotter.remove("a")
            try await expect(.failedPrecondition, "remove 'top' under a view") { try await snapshotter.remove("top") }
            try await snapshotter.remove("v")
            try await snapshotter.remove("top")
            try await snapshotter.remove("base")
            try expect(try await snapshotter.list().isEmpty, "nothing is left")
            try await world.layer("base")
            try await snapshotter.cleanup()
            try await snapshotter.cleanup()
            try expect(
                try await snapshotter.list().map(\.key) == ["base"], "a name can be used again, and cleanup spares it")
        },
        Case("a committed snapshot becomes durable once, others are refused") { world in
            let snapshotter = world.snapshotter
            try await world.layer("n")
            guard case .unpacked(let boot) = try await snapshotter.durability(of: "n") else {
                throw Failure(description: "expected that a new layer is not yet durable")
            }
            try expect(!boot.isEmpty, "the boot has an ID")
            try await snapshotter.makeDurable("n")
            try await snapshotter.makeDurable("n")
            try expect(try await snapshotter.durability(of: "n") == .durable, "it is durable after makeDurable")
            _ = try await snapshotter.prepare("a", parent: "n", labels: [:])
            try await expect(.failedPrecondition, "durability of an active one") {
                try await snapshotter.durability(of: "a")
            }
        },
    ]
}
