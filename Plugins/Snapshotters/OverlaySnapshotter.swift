package import BerthBase
package import BerthKernel
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Settings of `snapshotter.overlay`.
package struct OverlayConfig: PluginConfig {
    /// Options added to every overlay mount.
    package var mountOptions: [String] = []
    /// Whether removal waits until the files are gone.
    package var syncRemove = false

    package init() {}

    package static var keys: [ConfigKey] {
        [
            ConfigKey("mount_options", "options added to every overlay mount, e.g. \"volatile\" or \"metacopy=on\""),
            ConfigKey("sync_remove", "whether removing a snapshot waits until its files are deleted"),
        ]
    }

    package func validate() throws {
        for option in mountOptions {
            let name = option.prefix { $0 != "=" }
            guard !name.isEmpty, !["lowerdir", "upperdir", "workdir", "ro", "rw"].contains(name) else {
                throw BerthError(.invalidArgument, "mount_options: '\(option)' is set by the snapshotter itself")
            }
        }
    }
}

extension Plugin {
    /// Layers as overlayfs upper and lower directories. The default on Linux.
    package static let overlaySnapshotter = Plugin(
        "overlay", provides: .snapshotter, config: OverlayConfig.self
    ) { context in
        let root = context.root.string
        try await Blocking.run { try OverlayLayout.probe(at: root) }
        let layout = OverlayLayout(mountOptions: context.config.mountOptions)
        let snapshotter = try await DirectorySnapshotter(
            at: root, layout: layout, waitsForRemoval: context.config.syncRemove, logger: context.logger)
        context.onStop("close") { await snapshotter.close() }
        return snapshotter
    }
}

/// A snapshot is the upper directory of an overlay; its chain of parents are the lower ones.
package struct OverlayLayout: SnapshotLayout {
    private let options: [String]

    /// Adds `index=off`, so that one layer may be the lower directory of many mounts whatever the kernel's default.
    package init(mountOptions: [String] = []) {
        let hasIndex = access("/sys/module/overlay/parameters/index", F_OK) == 0
        options = (hasIndex ? ["index=off"] : []) + mountOptions
    }

    package var canRebase: Bool { true }

    package func populate(_ directory: String, parent: String?) throws {
        try makeDirectory(directory + "/work", 0o711)
        try makeDirectory(directory + "/fs", 0o755)
        guard let parent else { return }
        // The top directory's own owner and mode are what the mount's root shows.
        let status = try attempting("look at '\(parent)'") { () throws(Errno) in try Files.status(parent + "/fs") }
        try attempting("make '\(directory)/fs'") { () throws(Errno) in
            try check(chown(directory + "/fs", status.uid, status.gid))
            try check(chmod(directory + "/fs", status.mode & 0o7777))
        }
    }

    package func mounts(_ directory: String, writable: Bool, parents: [String]) -> [Mount] {
        let lowers = parents.map { $0 + "/fs" }
        if writable && !lowers.isEmpty {
            let own = ["workdir=\(directory)/work", "upperdir=\(directory)/fs"]
            return [overlay(options + own + ["lowerdir=" + lowers.joined(separator: ":")])]
        }
        if lowers.count > 1 { return [overlay(options + ["lowerdir=" + lowers.joined(separator: ":")])] }
        // Overlayfs wants two directories: one alone is bound.
        let source = lowers.first ?? directory + "/fs"
        return [Mount(type: "bind", source: source, options: [writable ? "rw" : "ro", "rbind"])]
    }

    private func overlay(_ options: [String]) -> Mount { Mount(type: "overlay", source: "overlay", options: options) }

    /// Makes an overlay of two directories under `root` and lets it go, without attaching it anywhere.
    ///
    /// - Throws: `PluginSkipped` that says what is missing.
    package static func probe(at root: String) throws {
        let probe = root + "/probe"
        do {
            for name in ["", "/lower", "/lower2", "/upper", "/work"] { try makeDirectory(probe + name, 0o700) }
            defer { removeTree(probe) }
            let context = try FileSystemContext("overlay")
            try context.set("lowerdir", "\(probe)/lower:\(probe)/lower2")
            try context.set("upperdir", probe + "/upper")
            try context.set("workdir", probe + "/work")
            _ = try context.mount()
        } catch let error as Errno {
            throw PluginSkipped("the kernel or the file system under '\(root)' has no overlayfs: \(error.name)")
        }
    }
}

/// Makes a directory with exactly this mode; one that exists is taken.
func makeDirectory(_ path: String, _ mode: UInt32) throws {
    try attempting("make '\(path)'") { () throws(Errno) in
        if mkdir(path, mode) != 0, errno != EEXIST { throw Errno(rawValue: errno) }
        try check(chmod(path, mode))
    }
}
