internal import BerthArchive
package import BerthBase
package import BerthKernel
internal import BerthServices
internal import SystemPackage

/// Settings of `snapshotter.native`.
package struct NativeConfig: PluginConfig {
    /// Whether removal waits until the files are gone.
    package var syncRemove = false

    package init() {}

    package static var keys: [ConfigKey] {
        [ConfigKey("sync_remove", "whether removing a snapshot waits until its files are deleted")]
    }
}

extension Plugin {
    /// Layers as whole copies: works on every file system, costs space and time (less where files can be cloned).
    package static let nativeSnapshotter = Plugin(
        "native", provides: .snapshotter, config: NativeConfig.self
    ) { context in
        let snapshotter = try await DirectorySnapshotter(
            at: context.root.string, layout: NativeLayout(), waitsForRemoval: context.config.syncRemove,
            logger: context.logger)
        context.onStop("close") { await snapshotter.close() }
        return snapshotter
    }
}

/// A snapshot is a full copy of its parent.
package struct NativeLayout: SnapshotLayout {
    package init() {}

    package var canRebase: Bool { false }

    package func populate(_ directory: String, parent: String?) throws {
        try makeDirectory(directory + "/fs", 0o755)
        if let parent { try TreeCopy.copy(parent + "/fs", to: directory + "/fs") }
    }

    package func mounts(_ directory: String, writable: Bool, parents: [String]) -> [Mount] {
        [Mount(type: "bind", source: directory + "/fs", options: [writable ? "rw" : "ro", "rbind"])]
    }
}
