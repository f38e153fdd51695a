internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The mounts of a snapshot, performed but attached nowhere: visible through this value only, gone with it.
struct MountedSnapshot: ~Copyable {
    private let root: OwnedFD

    init(_ mounts: [Mount]) throws {
        guard mounts.count == 1, let mount = mounts.first else {
            throw BerthError(.unimplemented, "perform \(mounts.count) mounts: the suite performs one")
        }
        root = try attempting("mount \(mount.type) \(mount.options)") { () throws(Errno) in
            switch mount.type {
            case "bind": try Self.bind(mount)
            case "overlay": try Self.overlay(mount)
            default: throw .noFunction
            }
        }
    }

    private static func bind(_ mount: Mount) throws(Errno) -> OwnedFD {
        let clone = try Mounts.clone(mount.source, recursive: true)
        if mount.options.contains("ro") { try Mounts.setAttributes(clone.rawValue, set: .readOnly, recursive: true) }
        return clone
    }

    private static func overlay(_ mount: Mount) throws(Errno) -> OwnedFD {
        let context = try FileSystemContext("overlay")
        for option in mount.options {
            let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
            if parts[0] == "lowerdir", parts.count == 2 {
                // One option a layer (Linux 6.8): all in one would not fit into a page.
                for lower in parts[1].split(separator: ":") { try context.set("lowerdir+", String(lower)) }
            } else if parts.count == 2 {
                try context.set(parts[0], parts[1])
            } else if option != "ro" && option != "rw" {
                try context.set(option)
            }
        }
        return try context.mount(mount.options.contains("ro") ? .readOnly : [])
    }

    func write(_ path: String, _ text: String) throws {
        try attempting("write '\(path)'") { () throws(Errno) in
            let file = try Files.open(path, at: root.rawValue, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            try Files.write(Array(text.utf8), to: file.rawValue)
        }
    }

    /// The text of a file; nil if there is none.
    func read(_ path: String) -> String? { try? Files.text(path, at: root.rawValue) }

    func makeDirectory(_ path: String) throws {
        try attempting("make '\(path)'") { () throws(Errno) in _ = try check(mkdirat(root.rawValue, path, 0o755)) }
    }

    func remove(_ path: String, directory: Bool = false) throws {
        try attempting("remove '\(path)'") { () throws(Errno) in
            _ = try check(unlinkat(root.rawValue, path, directory ? Int32(AT_REMOVEDIR) : 0))
        }
    }

    func setRoot(mode: UInt32, owner: UInt32) throws {
        try attempting("change the root directory") { () throws(Errno) in
            try check(fchownat(root.rawValue, ".", owner, owner, 0))
            try check(fchmodat(root.rawValue, ".", mode, 0))
        }
    }

    func status(_ path: String) -> FileStatus? { try? Files.status(path, at: root.rawValue) }

    /// The names in the root directory that begin with `prefix`.
    func names(in path: String) -> [String] {
        ((try? Files.names(in: "/proc/self/fd/\(root.rawValue)/\(path)")) ?? []).sorted()
    }
}
