internal import BerthSystem
internal import CBerthUnpack
internal import Glibc
internal import SystemPackage

/// Open directories of a layer by path, so that a member costs no walk. What is cached is the descriptor: a name
/// that is replaced by a link later cannot lead a write elsewhere.
final class DirectoryCache {
    /// The most directories that are held open.
    static let maxOpen = 128

    /// An open directory.
    final class Directory {
        let descriptor: OwnedFD
        /// Whether new files inherit its group and new directories this bit.
        let setsGroup: Bool

        init(_ descriptor: consuming OwnedFD, setsGroup: Bool) {
            self.descriptor = descriptor
            self.setsGroup = setsGroup
        }

        var fd: Int32 { descriptor.rawValue }
    }

    let root: Directory
    private var open: [LayerPath: Directory] = [:]
    private var lastPath: LayerPath?
    private var last: Directory?

    init(root: Directory) { self.root = root }

    func find(_ path: LayerPath) -> Directory? {
        if path.isRoot { return root }
        if path == lastPath { return last }
        guard let found = open[path] else { return nil }
        (lastPath, last) = (path, found)
        return found
    }

    func insert(_ directory: Directory, at path: LayerPath) {
        if open.count >= Self.maxOpen { open.removeAll(keepingCapacity: true) }
        open[path] = directory
        (lastPath, last) = (path, directory)
    }

    /// Forgets a directory that was removed, and those below it.
    func forget(_ path: LayerPath) {
        (lastPath, last) = (nil, nil)
        open = open.filter { !$0.key.isWithin(path) }
    }

    /// Opens a directory by one component, never through a link.
    static func open(_ name: [CChar], in parent: Int32) throws(Errno) -> Directory {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        let descriptor = OwnedFD(try retrying { openat(parent, name, flags) })
        return try adopt(descriptor)
    }

    /// Takes an open directory in.
    static func adopt(_ descriptor: consuming OwnedFD) throws(Errno) -> Directory {
        var status = stat()
        try check(fstat(descriptor.rawValue, &status))
        return Directory(descriptor, setsGroup: status.st_mode & S_ISGID != 0)
    }
}
