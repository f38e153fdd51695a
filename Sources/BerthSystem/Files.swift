internal import CBerthSystem
internal import Glibc
package import SystemPackage

/// Opening, reading and writing files by path or below a directory's descriptor.
package enum Files {
    /// The current directory, where a directory's descriptor is wanted.
    package static let workingDirectory = AT_FDCWD
    /// `O_PATH`: a descriptor that only names the file.
    package static let pathOnly = Int32(BERTH_O_PATH)

    /// How `openat2` resolves a path. Source: openat2(2).
    package struct Resolve: OptionSet, Sendable {
        package let rawValue: UInt64
        package init(rawValue: UInt64) { self.rawValue = rawValue }
        package static let noXdev = Resolve(rawValue: 0x01)
        package static let noMagicLinks = Resolve(rawValue: 0x02)
        package static let noSymlinks = Resolve(rawValue: 0x04)
        package static let beneath = Resolve(rawValue: 0x08)
        package static let inRoot = Resolve(rawValue: 0x10)
    }

    /// Opens a path; always close-on-exec.
    package static func open(
        _ path: String, at directory: Int32 = AT_FDCWD, _ flags: Int32, mode: UInt32 = 0
    ) throws(Errno) -> OwnedFD {
        // SAFETY: the string lives through the call.
        OwnedFD(try retrying { unsafe openat(directory, path, flags | O_CLOEXEC, mode) })
    }

    /// Opens a path below `directory` under rules for links and mounts.
    package static func open(
        _ path: String, below directory: Int32, _ flags: Int32, mode: UInt32 = 0, resolve: Resolve
    ) throws(Errno) -> OwnedFD {
        // EAGAIN means a rename raced with the lookup: a bounded number of tries, as the manual page advises.
        for _ in 0..<32 {
            let how = UInt64(UInt32(bitPattern: flags | O_CLOEXEC))
            // SAFETY: the string lives through the call.
            let result = unsafe berth_openat2(directory, path, how, UInt64(mode), resolve.rawValue)
            if result != -EAGAIN && result != -EINTR { return OwnedFD(try sys(result)) }
        }
        throw .resourceTemporarilyUnavailable
    }

    /// Opens a directory for its path only (`O_PATH`).
    package static func directory(_ path: String, at directory: Int32 = AT_FDCWD) throws(Errno) -> OwnedFD {
        try open(path, at: directory, pathOnly | O_DIRECTORY)
    }

    /// The whole of a file of at most `limit` bytes.
    ///
    /// - Throws: `EFBIG` if it is longer.
    package static func read(
        _ path: String, at directory: Int32 = AT_FDCWD, limit: Int = 16 << 20
    ) throws(Errno) -> [UInt8] {
        let file = try open(path, at: directory, O_RDONLY)
        return try read(file.rawValue, limit: limit)
    }

    /// The rest of an open file of at most `limit` bytes.
    package static func read(_ file: Int32, limit: Int) throws(Errno) -> [UInt8] {
        var all: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16384)
        while true {
            // SAFETY: the buffer is as long as its count says.
            let count = try retrying {
                unsafe part.withUnsafeMutableBytes { unsafe Glibc.read(file, $0.baseAddress, $0.count) }
            }
            if count == 0 { return all }
            all.append(contentsOf: part[..<count])
            if all.count > limit { throw .fileTooLarge }
        }
    }

    /// The text of a small file (procfs, cgroup) without the last newline.
    package static func text(_ path: String, at directory: Int32 = AT_FDCWD) throws(Errno) -> String {
        var bytes = try read(path, at: directory, limit: 1 << 20)
        while bytes.last == 0x0a { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes all bytes to an open descriptor.
    package static func write(_ bytes: [UInt8], to file: Int32) throws(Errno) {
        var rest = bytes[...]
        while !rest.isEmpty {
            // SAFETY: the buffer is as long as its count says.
            let count = try retrying {
                unsafe rest.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
            }
            rest = rest.dropFirst(count)
        }
    }

    /// Writes into a file that exists, in one call, as procfs and cgroup files want it.
    package static func set(_ path: String, at directory: Int32 = AT_FDCWD, to text: String) throws(Errno) {
        let file = try open(path, at: directory, O_WRONLY | O_TRUNC)
        try write(Array(text.utf8), to: file.rawValue)
    }

    /// Replaces a file as a whole: a reader sees the old or the new bytes.
    package static func replace(_ path: String, with bytes: [UInt8], mode: UInt32) throws(Errno) {
        let temporary = path + ".new"
        do {
            let file = try open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
            try write(bytes, to: file.rawValue)
        }
        // SAFETY: the strings live through the call.
        try check(unsafe rename(temporary, path))
    }

    /// Makes a directory and those above it; one that exists is left as it is.
    package static func makeDirectories(_ path: String, mode: UInt32) throws(Errno) {
        // SAFETY: the string lives through the call.
        if unsafe mkdir(path, mode) == 0 { return }
        let error = Errno(rawValue: Glibc.errno)
        if error == .fileExists { return }
        guard error == .noSuchFileOrDirectory, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw error
        }
        try makeDirectories(String(path[..<slash]), mode: mode)
        // SAFETY: as above.
        if unsafe mkdir(path, mode) != 0, Glibc.errno != EEXIST { throw Errno(rawValue: Glibc.errno) }
    }

    /// Removes a file; one that is gone is success.
    package static func remove(_ path: String, at directory: Int32 = AT_FDCWD, flags: Int32 = 0) throws(Errno) {
        // SAFETY: the string lives through the call.
        if unsafe unlinkat(directory, path, flags) != 0, Glibc.errno != ENOENT {
            throw Errno(rawValue: Glibc.errno)
        }
    }

    /// Asks the kernel to begin writing a range of a file to disk, and does not wait: a hint. Source:
    /// sync_file_range(2).
    package static func startWriteback(of file: Int32, from offset: Int64, count: Int64) {
        _ = berth_start_writeback(file, offset, count)
    }

    /// The names in a directory, without `.` and `..`.
    package static func names(in path: String) throws(Errno) -> [String] {
        // SAFETY: the stream is used by this function only and closed at its end.
        guard let stream = unsafe opendir(path) else { throw Errno(rawValue: Glibc.errno) }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            // SAFETY: d_name is a C string within the entry, which is valid until the next readdir.
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// What fstatat(2) says; links are not followed.
    package static func status(_ path: String, at directory: Int32 = AT_FDCWD) throws(Errno) -> FileStatus {
        var status = stat()
        // SAFETY: the structure and the string live through the call.
        try check(
            unsafe fstatat(
                directory, path, &status, AT_SYMLINK_NOFOLLOW | (path.isEmpty ? Int32(BERTH_AT_EMPTY_PATH) : 0)))
        return FileStatus(status)
    }

    /// What fstat(2) says of an open descriptor.
    package static func status(of file: Int32) throws(Errno) -> FileStatus { try status("", at: file) }

    /// The magic number of the file system behind a descriptor. Source: statfs(2).
    package static func fileSystem(of file: Int32) throws(Errno) -> Int64 {
        let magic = berth_fs_magic(file)
        if magic < 0 { throw Errno(rawValue: Int32(-magic)) }
        return magic
    }
}

/// The parts of `struct stat` that are looked at here.
package struct FileStatus: Sendable {
    package let mode: UInt32
    package let device: UInt64
    package let inode: UInt64
    package let uid: UInt32
    package let gid: UInt32
    package let size: Int64
    package let deviceMajor: UInt32
    package let deviceMinor: UInt32

    fileprivate init(_ status: stat) {
        mode = status.st_mode
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        uid = status.st_uid
        gid = status.st_gid
        size = Int64(status.st_size)
        deviceMajor = gnu_dev_major(status.st_rdev)
        deviceMinor = gnu_dev_minor(status.st_rdev)
    }

    package var isDirectory: Bool { mode & S_IFMT == S_IFDIR }
    package var isSymlink: Bool { mode & S_IFMT == S_IFLNK }
    package var isRegular: Bool { mode & S_IFMT == S_IFREG }
    package var isCharacterDevice: Bool { mode & S_IFMT == S_IFCHR }
    package var isBlockDevice: Bool { mode & S_IFMT == S_IFBLK }
    package var isFIFO: Bool { mode & S_IFMT == S_IFIFO }
}
