internal import BerthBase
internal import CBerthSystem
internal import Glibc

/// Makes namespaces that are kept by a bind mount on a file. Blocks; call it on a lane of `Blocking`.
///
/// SAFETY: every unsafe call here takes strings that live through it, and buffers with their own length.
package enum NamespaceFiles {
    /// An ID map line: first ID inside, first ID outside, count.
    package typealias MapLine = (inside: UInt32, outside: UInt32, count: UInt32)

    /// A network namespace with its loopback up, bind-mounted on `path`, owned by the user namespace at `userns`.
    package static func makeNetwork(at path: String, userns: String?) throws {
        try makeFile(path)
        do {
            guard let userns else {
                try check(unsafe berth_make_network_namespace(path), "make a network namespace at '\(path)'")
                return
            }
            let descriptor = unsafe open(userns, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw failure(errno, "open the user namespace '\(userns)'") }
            defer { close(descriptor) }
            try hold(userns: descriptor, flags: Int32(berth_new_network), "make a network namespace at '\(path)'") {
                pid in
                try check(
                    unsafe berth_bind_file("/proc/\(pid)/ns/net", path), "bind the network namespace on '\(path)'")
            }
        } catch {
            try? remove(path)
            throw error
        }
    }

    /// A user namespace with these maps, bind-mounted on `path`.
    package static func makeUser(at path: String, uids: [MapLine], gids: [MapLine]) throws {
        try makeFile(path)
        do {
            try hold(userns: -1, flags: Int32(berth_new_user), "make a user namespace at '\(path)'") { pid in
                try write(uids, to: "/proc/\(pid)/uid_map")
                try write(gids, to: "/proc/\(pid)/gid_map")
                try check(unsafe berth_bind_file("/proc/\(pid)/ns/user", path), "bind the user namespace on '\(path)'")
            }
        } catch {
            try? remove(path)
            throw error
        }
    }

    /// Unmounts and removes the file. Missing is success.
    package static func remove(_ path: String) throws {
        let detach: Int32 = 2
        while unsafe umount2(path, detach) == 0 {}
        if unsafe unlink(path) != 0 && errno != ENOENT { throw failure(errno, "remove '\(path)'") }
    }

    /// Whether a namespace is mounted on the file.
    package static func isNamespace(_ path: String) -> Bool {
        guard !path.isEmpty, let file = try? Files.open(path, O_RDONLY | O_NONBLOCK) else { return false }
        let nsfs: Int64 = 0x6e73_6673
        return (try? Files.fileSystem(of: file.rawValue)) == nsfs
    }

    private static func hold(userns: Int32, flags: Int32, _ what: String, _ body: (pid_t) throws -> Void) throws {
        let pid = berth_hold_namespaces(userns, flags)
        guard pid > 0 else { throw failure(-pid, what) }
        defer {
            kill(pid, SIGKILL)
            while waitpid(pid, nil, 0) < 0, errno == EINTR {}
        }
        try body(pid)
    }

    private static func write(_ lines: [MapLine], to path: String) throws {
        let text = lines.map { "\($0.inside) \($0.outside) \($0.count)" }.joined(separator: "\n")
        let descriptor = unsafe open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(errno, "open '\(path)'") }
        defer { close(descriptor) }
        let count = unsafe Glibc.write(descriptor, text, text.utf8.count)
        guard count == text.utf8.count else { throw failure(errno, "write the ID map '\(text)' to '\(path)'") }
    }

    private static func makeFile(_ path: String) throws {
        let folder = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        unsafe mkdir(folder, 0o755)
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o444)
        guard descriptor >= 0 else { throw failure(errno, "make '\(path)'") }
        close(descriptor)
    }

    private static func check(_ result: Int32, _ what: String) throws {
        if result < 0 { throw failure(-result, what) }
    }

    private static func failure(_ number: Int32, _ what: String) -> BerthError {
        let code: BerthError.Code =
            number == EEXIST
            ? .alreadyExists : number == ENOENT ? .notFound : number == EPERM ? .permissionDenied : .internal
        return BerthError(code, "\(what): \(unsafe String(cString: strerror(number)))")
    }
}
