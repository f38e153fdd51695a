internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import CBerthSystem
internal import Glibc
internal import SystemPackage

/// User namespaces and their maps.
enum UserNamespaces {
    /// A namespace with these maps that no process lives in, for id-mapped mounts.
    static func make(uids: [OCIIDMapping], gids: [OCIIDMapping]) throws(BerthError) -> OwnedFD {
        let pid = berth_hold_namespaces(-1, 0x1000_0000)
        guard pid > 0 else { throw BerthError(Errno(rawValue: -pid), "make a user namespace") }
        defer {
            kill(pid, SIGKILL)
            _ = try? PidFD.reap(pid: pid)
        }
        try writeMaps(of: pid, uids: uids, gids: gids)
        return try attempting("open a user namespace") { () throws(Errno) in
            try Namespaces.open("user", of: String(pid))
        }
    }

    /// Writes both maps of a process that has just made its namespace.
    static func writeMaps(of pid: Int32, uids: [OCIIDMapping], gids: [OCIIDMapping]) throws(BerthError) {
        try HostProc.write("\(pid)/uid_map", lines(uids))
        if geteuid() != 0 { try HostProc.write("\(pid)/setgroups", "deny") }
        try HostProc.write("\(pid)/gid_map", lines(gids))
    }

    private static func lines(_ maps: [OCIIDMapping]) -> String {
        maps.map { "\($0.containerID) \($0.hostID) \($0.size)\n" }.joined()
    }
}

/// The host's procfs, verified to be one before anything is written into it.
enum HostProc {
    private static let magic: Int64 = 0x9fa0

    /// Writes a value below /proc.
    static func write(_ path: String, _ value: String) throws(BerthError) {
        try attempting("write '/proc/\(path)'") { () throws(Errno) in
            let proc = try Files.directory("/proc")
            guard try Files.fileSystem(of: proc.rawValue) == magic else { throw .invalidArgument }
            let file = try Files.open(
                path, below: proc.rawValue, O_WRONLY, resolve: [.noXdev, .noMagicLinks, .noSymlinks])
            try Files.write(Array(value.utf8), to: file.rawValue)
        }
    }
}
