internal import BerthSystem
internal import Glibc
package import SystemPackage

/// Removes trees below an open directory, never through a link.
package enum TreeRemoval {
    /// Removes a name, with everything below it if it is a directory; a missing name is success.
    package static func remove(_ name: String, in directory: Int32) throws(Errno) {
        try remove(Array(name.utf8CString), in: directory)
    }

    static func remove(_ name: [CChar], in parent: Int32, depth: Int = 0) throws(Errno) {
        if unlinkat(parent, name, 0) == 0 || errno == ENOENT { return }
        guard errno == EISDIR || errno == EPERM else { throw Errno(rawValue: errno) }
        guard depth <= LayerPath.maxDepth else { throw .tooManySymbolicLinkLevels }
        do {
            let directory = try DirectoryCache.open(name, in: parent)
            for entry in try names(in: directory.fd) { try remove(entry, in: directory.fd, depth: depth + 1) }
        }
        if unlinkat(parent, name, Int32(AT_REMOVEDIR)) != 0, errno != ENOENT { throw Errno(rawValue: errno) }
    }

    /// The names in an open directory.
    static func names(in directory: Int32) throws(Errno) -> [[CChar]] {
        let copy = try retrying { openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard let stream = fdopendir(copy) else {
            close(copy)
            throw Errno(rawValue: errno)
        }
        defer { closedir(stream) }
        var names: [[CChar]] = []
        while let entry = readdir(stream) {
            // SAFETY: d_name is a C string within the entry, which is valid until the next readdir.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { start in
                    Array(UnsafeBufferPointer(start: start, count: strlen(start) + 1))
                }
            }
            if name != [46, 0] && name != [46, 46, 0] { names.append(name) }
        }
        return names
    }
}
