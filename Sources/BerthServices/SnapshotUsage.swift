internal import BerthBase
internal import Glibc

/// The disk space of one snapshot, without its parents.
public struct SnapshotUsage: Sendable, Hashable {
    /// Inodes; hard links count once.
    public var inodes: Int64
    /// Bytes allocated on disk.
    public var size: Int64

    /// Makes a usage.
    public init(inodes: Int64, size: Int64) {
        self.inodes = inodes
        self.size = size
    }

    /// Measures a directory and what is below it, itself included. Blocks.
    ///
    /// - Throws: `notFound` if the directory cannot be read; what vanishes meanwhile is not counted.
    public init(measuring directory: String) throws {
        self.init(inodes: 0, size: 0)
        var linked: Set<UInt> = []
        let top = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard top >= 0 else {
            throw BerthError(.notFound, "measure '\(directory)': \(String(cString: strerror(errno)))")
        }
        count(top, ".", &linked)
        measure(top, &linked)
    }

    /// Counts one file, a hard link once; whether it is a directory.
    @discardableResult
    private mutating func count(_ folder: Int32, _ name: String, _ linked: inout Set<UInt>) -> Bool {
        var status = stat()
        guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return false }
        let isDirectory = status.st_mode & S_IFMT == S_IFDIR
        guard isDirectory || status.st_nlink == 1 || linked.insert(UInt(status.st_ino)).inserted else { return false }
        inodes += 1
        size += Int64(status.st_blocks) * 512
        return isDirectory
    }

    /// Takes the descriptor over.
    private mutating func measure(_ folder: Int32, _ linked: inout Set<UInt>) {
        guard let stream = fdopendir(folder) else {
            close(folder)
            return
        }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name != ".", name != "..", count(folder, name, &linked) else { continue }
            let inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            if inner >= 0 { measure(inner, &linked) }
        }
    }
}
