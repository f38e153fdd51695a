internal import BerthBase
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// A container's root file system as the engine looks into it: by descriptors, in-root, bounded, mounted nowhere.
enum RootfsView {
    /// Larger account files are refused (CVE-2026-47262).
    static let maxAccountFile = 10 << 20

    /// Opens the tree behind the mounts of a snapshot, read-only: an overlay's own upper directory is left out.
    static func open(_ mounts: [Mount]) throws -> OwnedFD {
        guard mounts.count == 1, let mount = mounts.first else {
            throw BerthError(.unimplemented, "look into a root file system of \(mounts.count) mounts")
        }
        switch mount.type {
        case "bind": return try directory(mount.source)
        case "overlay": return try overlay(mount)
        default:
            throw BerthError(.unimplemented, "look into a root file system of type '\(mount.type)'")
        }
    }

    private static func directory(_ path: String) throws -> OwnedFD {
        try attempting("open '\(path)'") { () throws(Errno) in try Files.open(path, Files.pathOnly | O_DIRECTORY) }
    }

    private static func overlay(_ mount: Mount) throws -> OwnedFD {
        let lowers = mount.options.first { $0.hasPrefix("lowerdir=") }.map { split(String($0.dropFirst(9))) } ?? []
        if lowers.count == 1 { return try directory(lowers[0]) }
        return try attempting("assemble the layers of a root file system") { () throws(Errno) in
            let context = try FileSystemContext("overlay")
            for option in mount.options {
                let name = option.prefix { $0 != "=" }
                if ["lowerdir", "upperdir", "workdir", "volatile", "ro", "rw"].contains(name) { continue }
                if name.count < option.count {
                    try context.set(String(name), String(option.dropFirst(name.count + 1)))
                } else {
                    try context.set(option)
                }
            }
            for (index, layer) in lowers.enumerated() {
                do throws(Errno) { try context.set("lowerdir+", layer) } catch {
                    // Before Linux 6.8: all in one string, which a few layers fit into.
                    guard error == .invalidArgument, index == 0 else { throw error }
                    try context.set("lowerdir", lowers.joined(separator: ":"))
                    break
                }
            }
            return try context.mount([.readOnly, .noSuid, .noDev, .noExec])
        }
    }

    /// Splits `lowerdir`: colons separate, a backslash takes the next character as it is.
    private static func split(_ value: String) -> [String] {
        var layers = [""]
        var escaped = false
        for character in value {
            switch character {
            case "\\" where !escaped: escaped = true
            case ":" where !escaped: layers.append("")
            default:
                layers[layers.count - 1].append(character)
                escaped = false
            }
        }
        return layers.filter { !$0.isEmpty }
    }

    /// /etc/passwd and /etc/group. A missing one is empty; one that is no regular file or too large is refused.
    static func accounts(below root: Int32) throws -> AccountFiles {
        AccountFiles(passwd: try account("etc/passwd", root), group: try account("etc/group", root))
    }

    private static func account(_ path: String, _ root: Int32) throws -> [UInt8] {
        do {
            // The name first, what it is second, its bytes last: a FIFO or a device is never opened.
            let name = try Files.open(path, below: root, Files.pathOnly, resolve: [.inRoot, .noMagicLinks])
            guard try Files.status(of: name.rawValue).isRegular else {
                throw BerthError(.invalidArgument, "the image's /\(path) is no regular file")
            }
            let file = try Files.open("/proc/self/fd/\(name.rawValue)", O_RDONLY)
            return try Files.read(file.rawValue, limit: maxAccountFile)
        } catch let error as Errno {
            if error == .noSuchFileOrDirectory || error == .notDirectory { return [] }
            if error == .fileTooLarge {
                throw BerthError(.invalidArgument, "the image's /\(path) is larger than \(maxAccountFile) bytes")
            }
            throw BerthError(error, "read the image's /\(path)")
        }
    }

    /// Gives `body` a path of a directory in the tree; it is not called when there is none.
    static func withDirectory(_ path: String, below root: Int32, _ body: (String) throws -> Void) throws {
        do {
            let flags = Files.pathOnly | O_DIRECTORY
            let found = try Files.open(relative(path), below: root, flags, resolve: [.inRoot, .noMagicLinks])
            try body("/proc/self/fd/\(found.rawValue)")
        } catch let error as Errno {
            if error == .noSuchFileOrDirectory || error == .notDirectory { return }
            throw BerthError(error, "look for '\(path)' in the image")
        }
    }

    private static func relative(_ path: String) -> String {
        let plain = PathCheck.normalized(path).dropFirst()
        return plain.isEmpty ? "." : String(plain)
    }
}

/// Users resolved before: a fresh container's accounts are its image's, so they are the same each time.
final class AccountCache: Sendable {
    /// Entries kept; when it is full all go.
    static let maxEntries = 256

    struct Key: Hashable, Sendable {
        var parent: SnapshotKey
        var snapshotter: String
        var request: AccountRequest
        var supplemental: [UInt32]
        var strict: Bool
    }
    private let entries = Mutex<[Key: ResolvedUser]>([:])

    func user(_ key: Key) -> ResolvedUser? { entries.withLock { $0[key] } }

    func keep(_ user: ResolvedUser, for key: Key) {
        entries.withLock { entries in
            if entries.count >= Self.maxEntries { entries.removeAll() }
            entries[key] = user
        }
    }
}
