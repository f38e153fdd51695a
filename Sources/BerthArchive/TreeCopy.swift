internal import BerthBase
internal import BerthSystem
internal import CBerthUnpack
internal import Glibc
internal import SystemPackage

/// Copies a directory with everything below it: owners, modes, times, attributes, hard links, devices and holes.
/// By descriptors, never through a link: what is copied came from an image. Blocks.
package struct TreeCopy {
    /// Where each file with several names was put first, by device and inode.
    private var linked: [Inode: [CChar]] = [:]
    private struct Inode: Hashable {
        let device: UInt
        let number: UInt
    }
    private let root: Int32

    /// Copies the contents and the attributes of `source` into the existing, empty directory `target`.
    package static func copy(_ source: String, to target: String) throws {
        let from = try attempting("copy '\(source)'") { () throws(Errno) in
            try Files.open(source, O_RDONLY | O_DIRECTORY)
        }
        let to = try attempting("copy to '\(target)'") { () throws(Errno) in
            try Files.open(target, O_RDONLY | O_DIRECTORY)
        }
        var copy = TreeCopy(root: to.rawValue)
        try attempting("copy '\(source)' to '\(target)'") { () throws(Errno) in
            try copy.directory(from.rawValue, to.rawValue, [], depth: 0)
        }
    }

    private init(root: Int32) { self.root = root }

    private mutating func directory(_ from: Int32, _ to: Int32, _ path: [CChar], depth: Int) throws(Errno) {
        guard depth <= LayerPath.maxDepth else { throw .tooManySymbolicLinkLevels }
        for name in try TreeRemoval.names(in: from) {
            let below = path.isEmpty ? name : path.dropLast() + [47] + name
            try member(name, from, to, below, depth: depth)
        }
        var status = stat()
        try check(fstat(from, &status))
        try finish(to, from: from, status)
    }

    private mutating func member(_ name: [CChar], _ from: Int32, _ to: Int32, _ path: [CChar], depth: Int) throws(Errno)
    {
        var status = stat()
        try check(fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW))
        let inode = Inode(device: status.st_dev, number: status.st_ino)
        if status.st_mode & S_IFMT != S_IFDIR, status.st_nlink > 1 {
            if let first = linked[inode] {
                try check(linkat(root, first, to, name, 0))
                return
            }
            linked[inode] = path
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR:
            try check(mkdirat(to, name, 0o700))
            let source = try DirectoryCache.open(name, in: from)
            let target = try DirectoryCache.open(name, in: to)
            try directory(source.fd, target.fd, path, depth: depth + 1)
        case S_IFREG: try file(name, from, to, status)
        default: try special(name, from, to, status)
        }
    }

    private func file(_ name: [CChar], _ from: Int32, _ to: Int32, _ status: stat) throws(Errno) {
        let source = OwnedFD(try retrying { openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) })
        let target = OwnedFD(
            try retrying { openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600) })
        let copied = berth_copy_data(target.rawValue, source.rawValue)
        if copied < 0 { throw Errno(rawValue: -copied) }
        try finish(target.rawValue, from: source.rawValue, status)
    }

    private func finish(_ to: Int32, from: Int32, _ status: stat) throws(Errno) {
        try check(fchown(to, status.st_uid, status.st_gid))
        let attributes = berth_copy_attributes(to, from)
        if attributes < 0 { throw Errno(rawValue: -attributes) }
        try check(fchmod(to, status.st_mode & 0o7777))
        var times = [status.st_atim, status.st_mtim]
        try check(futimens(to, &times))
    }

    private func special(_ name: [CChar], _ from: Int32, _ to: Int32, _ status: stat) throws(Errno) {
        if status.st_mode & S_IFMT == S_IFLNK {
            var target = [CChar](repeating: 0, count: LayerPath.maxLength + 1)
            let count = try check(readlinkat(from, name, &target, target.count - 1))
            target[count] = 0
            try check(symlinkat(target, to, name))
        } else {
            let (major, minor) = (gnu_dev_major(status.st_rdev), gnu_dev_minor(status.st_rdev))
            let made = berth_make_node(to, name, status.st_mode, major, minor)
            if made < 0 { throw Errno(rawValue: -made) }
        }
        try check(fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW))
        if status.st_mode & S_IFMT != S_IFLNK { try check(fchmodat(to, name, status.st_mode & 0o7777, 0)) }
        var times = [status.st_atim, status.st_mtim]
        try check(utimensat(to, name, &times, AT_SYMLINK_NOFOLLOW))
    }
}

/// The disk space of a directory tree.
package enum TreeUsage {
    /// Inodes and allocated bytes of a directory and everything below it; hard links count once. Blocks.
    package static func measure(_ path: String) throws -> (inodes: Int64, bytes: Int64) {
        let root = try attempting("measure '\(path)'") { () throws(Errno) in
            try Files.open(path, O_RDONLY | O_DIRECTORY)
        }
        var seen: Set<UInt> = []
        var (inodes, bytes): (Int64, Int64) = (0, 0)
        func add(_ status: stat) {
            if status.st_mode & S_IFMT != S_IFDIR, status.st_nlink > 1, !seen.insert(status.st_ino).inserted { return }
            inodes += 1
            bytes += Int64(status.st_blocks) * 512
        }
        func walk(_ directory: Int32, _ depth: Int) throws(Errno) {
            guard depth <= LayerPath.maxDepth else { throw .tooManySymbolicLinkLevels }
            for name in try TreeRemoval.names(in: directory) {
                var status = stat()
                // A container may remove files while they are counted.
                guard fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
                add(status)
                if status.st_mode & S_IFMT == S_IFDIR, let below = try? DirectoryCache.open(name, in: directory) {
                    try walk(below.fd, depth + 1)
                }
            }
        }
        var status = stat()
        fstat(root.rawValue, &status)
        add(status)
        try attempting("measure '\(path)'") { () throws(Errno) in try walk(root.rawValue, 0) }
        return (inodes, bytes)
    }

    /// Flushes the file system that holds a path. Blocks.
    package static func flushFileSystem(of path: String) throws {
        let directory = try attempting("flush '\(path)'") { () throws(Errno) in
            try Files.open(path, O_RDONLY | O_DIRECTORY)
        }
        let result = berth_sync_file_system(directory.rawValue)
        if result < 0 { throw BerthError(Errno(rawValue: -result), "flush the file system of '\(path)'") }
    }
}
