internal import BerthBase
internal import BerthServices
internal import BerthSystem

extension SnapshotterConformance {
    /// The most layers an image has.
    static let layerLimit = 128

    /// What is seen through the mounts.
    static let mountCases: [Case] = [
        Case("a child sees its parents' files and changes none", needs: .mounts) { world in
            try await world.layer("base", on: nil) { mounted in
                try mounted.write("kept", "base")
                try mounted.write("changed", "base")
            }
            try await world.layer("top", on: "base") { mounted in
                try expect(mounted.read("kept") == "base", "the child sees the parent's file")
                try mounted.write("changed", "top")
                try mounted.write("new", "top")
            }
            try await world.look(at: "top") { mounted in
                try expect(
                    mounted.read("changed") == "top" && mounted.read("new") == "top", "the child's files are its own")
                try expect(mounted.read("kept") == "base", "the parent's file is there")
            }
            try await world.look(at: "base") { mounted in
                try expect(mounted.read("changed") == "base" && mounted.read("new") == nil, "the parent is as it was")
            }
        },
        Case("what a layer removes is gone above it and there below it", needs: .mounts) { world in
            try await world.layer("base", on: nil) { mounted in
                try mounted.makeDirectory("d")
                try mounted.write("d/inner", "base")
                try mounted.write("f", "base")
            }
            try await world.layer("mid", on: "base") { mounted in
                try mounted.remove("f")
                try mounted.remove("d/inner")
                try mounted.remove("d", directory: true)
                try mounted.makeDirectory("d")
                try mounted.write("d/other", "mid")
            }
            try await world.layer("top", on: "mid") { mounted in try mounted.write("f", "top") }
            try await world.look(at: "mid") { mounted in
                try expect(mounted.read("f") == nil, "a removed file is gone")
                try expect(mounted.names(in: "d") == ["other"], "a directory made anew hides the old one's files")
            }
            try await world.look(at: "top") { mounted in
                try expect(mounted.read("f") == "top", "a file can come back")
                try expect(mounted.read("d/inner") == nil, "what is hidden stays hidden")
            }
            try await world.look(at: "base") { mounted in try expect(mounted.read("f") == "base", "the base has all") }
        },
        Case("a view cannot be written to", needs: .mounts) { world in
            try await world.layer("base", on: nil) { try $0.write("f", "base") }
            try await world.layer("top", on: "base") { try $0.write("g", "top") }
            for name: SnapshotKey in ["base", "top"] {
                try await world.look(at: name) { mounted in
                    do { try mounted.write("new", "x") } catch { return }
                    throw Failure(description: "expected that a view of '\(name)' is read-only")
                }
            }
        },
        Case("a child's root directory has its parent's owner and mode", needs: .mounts) { world in
            try await world.layer("base", on: nil) { try $0.setRoot(mode: 0o1711, owner: 1234) }
            try await world.layer("top", on: "base") { _ in }
            try await world.look(at: "top") { mounted in
                let status = mounted.status(".")
                try expect(
                    status?.uid == 1234 && status.map { $0.mode & 0o7777 } == 0o1711, "owner and mode are inherited")
            }
        },
        Case("usage is what the snapshot itself takes", needs: .mounts) { world in
            let snapshotter = world.snapshotter
            let mounts = try await snapshotter.prepare("a", parent: nil, labels: [:])
            let empty = try await snapshotter.usage(of: "a")
            do {
                let mounted = try MountedSnapshot(mounts)
                for index in 0..<10 { try mounted.write("f\(index)", String(repeating: "x", count: 100_000)) }
            }
            let full = try await snapshotter.usage(of: "a")
            try expect(full.inodes == empty.inodes + 10, "ten files are ten inodes more")
            try expect(full.size >= empty.size + 900_000, "a million bytes are counted, more or less")
            try await snapshotter.commit("n", from: "a", parent: nil, labels: [:])
            try expect(try await snapshotter.usage(of: "n").inodes == full.inodes, "the commit keeps the usage")
        },
        Case("128 layers are mounted, each seen", needs: [.mounts, .deepChains]) { world in
            var parent: SnapshotKey?
            for index in 0..<layerLimit {
                let name = SnapshotKey("layer-\(index)")
                let mounts = try await world.snapshotter.prepare(SnapshotKey("p\(index)"), parent: parent, labels: [:])
                if index % 16 == 0 || index == layerLimit - 1 {
                    let mounted = try MountedSnapshot(mounts)
                    try mounted.write("f\(index)", "\(index)")
                    try mounted.write("same", "\(index)")
                }
                try await world.snapshotter.commit(name, from: SnapshotKey("p\(index)"), parent: nil, labels: [:])
                parent = name
            }
            let last = layerLimit - 1
            try await world.look(at: SnapshotKey("layer-\(last)")) { mounted in
                try expect(mounted.read("same") == "\(last)", "the top layer wins")
                for index in stride(from: 0, to: layerLimit, by: 16) {
                    try expect(mounted.read("f\(index)") == "\(index)", "the file of layer \(index) is seen")
                }
            }
        },
        Case("a rebased layer is seen on its new parent", needs: .mounts) { world in
            guard world.snapshotter.canRebase else { return }
            try await world.layer("base", on: nil) { try $0.write("below", "base") }
            do {
                let mounted = try MountedSnapshot(await world.snapshotter.prepare("a", parent: nil, labels: [:]))
                try mounted.write("above", "top")
            }
            try await world.snapshotter.commit("top", from: "a", parent: "base", labels: [:])
            try await world.look(at: "top") { mounted in
                try expect(mounted.read("below") == "base" && mounted.read("above") == "top", "both layers are seen")
            }
        },
    ]
}
