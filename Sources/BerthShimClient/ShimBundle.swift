package import BerthBase
internal import BerthSystem
internal import Glibc

/// The directory a shim works in: `config.json`, `bootstrap.json` once it runs, `exits` as processes end. It exists
/// before the shim does, so a directory without a `bootstrap.json` is a start that a crash cut short.
package struct ShimBundle: Sendable, Hashable {
    /// The directory.
    package let path: String
    /// The namespace.
    package let namespace: NamespaceID
    /// The sandbox's or container's ID.
    package let id: String

    /// Names the bundle of one sandbox or container below `folder`.
    package init(folder: String, namespace: NamespaceID, id: String) {
        path = "\(folder)/\(namespace)/\(id)"
        self.namespace = namespace
        self.id = id
    }

    /// Makes the directory and writes what it is for, then the spec.
    ///
    /// - Throws: `alreadyExists` when there is one.
    package func create(_ intent: BundleIntent, spec: [UInt8]) throws {
        try makeFolder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]), mode: 0o711)
        // 0700: a host user must not reach setuid files of a rootfs (CVE-2021-41103).
        guard mkdir(path, 0o700) == 0 else {
            let code: BerthError.Code = errno == EEXIST ? .alreadyExists : .internal
            throw BerthError(code, "make bundle '\(path)': \(String(cString: strerror(errno)))")
        }
        do {
            try write(BundleIntent.file, intent.record)
            try write("config.json", spec)
            guard mkdir("\(path)/rootfs", 0o711) == 0 else { throw failure("make 'rootfs'") }
        } catch {
            try? removeTree(path)
            throw error
        }
    }

    /// Writes a file of the bundle, whole or not at all.
    package func write(_ name: String, _ bytes: [UInt8]) throws {
        let temporary = "\(path)/.\(name).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("write '\(name)'") }
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent)
            }
            guard count > 0 else {
                let error = failure("write '\(name)'")
                close(descriptor)
                unlink(temporary)
                throw error
            }
            sent += count
        }
        close(descriptor)
        guard rename(temporary, "\(path)/\(name)") == 0 else { throw failure("write '\(name)'") }
    }

    /// Reads a small file of the bundle; nil when there is none.
    package func read(_ name: String) -> [UInt8]? {
        let descriptor = open("\(path)/\(name)", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        let limit = 4 << 20
        while bytes.count < limit {
            let chunk = [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
                count = max(0, Glibc.read(descriptor, buffer.baseAddress, buffer.count))
            }
            if chunk.isEmpty { break }
            bytes += chunk
        }
        return bytes
    }

    /// Unmounts what is mounted on the rootfs and removes the directory. Missing is success.
    package func remove() throws {
        unmountRootfs()
        try removeTree(path)
    }

    /// Unmounts what is mounted on the rootfs, lazily: a busy mount must not hold up the removal.
    func unmountRootfs() {
        let (detach, noFollow): (Int32, Int32) = (2, 8)
        while umount2("\(path)/rootfs", detach | noFollow) == 0 {}
    }

    /// Whether the bundle has this file.
    package func has(_ name: String) -> Bool { access("\(path)/\(name)", F_OK) == 0 }

    /// Whether the directory is there.
    package var exists: Bool { access(path, F_OK) == 0 }

    /// All bundles below `folder`.
    package static func all(in folder: String) -> [ShimBundle] {
        entries(of: folder).flatMap { namespace in
            entries(of: "\(folder)/\(namespace)").map {
                ShimBundle(folder: folder, namespace: NamespaceID(namespace), id: $0)
            }
        }
    }

    private func failure(_ what: String) -> BerthError {
        let code: BerthError.Code = errno == ENOSPC ? .resourceExhausted : .internal
        return BerthError(code, "\(what) in bundle '\(path)': \(String(cString: strerror(errno)))")
    }
}

private func entries(of folder: String) -> [String] {
    guard let stream = opendir(folder) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

private func makeFolder(_ path: String, mode: mode_t) throws {
    var partial = ""
    for component in path.split(separator: "/") {
        partial += "/\(component)"
        if mkdir(partial, mode) != 0 && errno != EEXIST {
            throw BerthError(.internal, "make directory '\(partial)': \(String(cString: strerror(errno)))")
        }
    }
}

/// Removes a tree of our own; symbolic links are removed, not followed.
private func removeTree(_ path: String) throws {
    if unlink(path) == 0 || errno == ENOENT { return }
    for name in entries(of: path) { try removeTree("\(path)/\(name)") }
    if rmdir(path) != 0 && errno != ENOENT {
        throw BerthError(.internal, "remove '\(path)': \(String(cString: strerror(errno)))")
    }
}
