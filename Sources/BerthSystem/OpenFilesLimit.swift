internal import BerthBase
internal import CBerthSystem
internal import Glibc

/// The limit on this process's open files: raised for the daemon, and given back to what it starts.
///
/// A soft limit of 1024 is for programs that use select(2); containers must still get the one that the daemon was
/// started with.
package enum OpenFilesLimit {
    private static let original = Shared<[UInt]>([])

    /// Raises the soft limit to the hard one.
    ///
    /// - Throws: `permissionDenied` if the kernel refuses.
    package static func raise() throws {
        var limit = rlimit()
        // SAFETY: the structure lives through the call.
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        guard limit.rlim_cur < limit.rlim_max else { return }
        let before = [UInt(limit.rlim_cur), UInt(limit.rlim_max)]
        limit.rlim_cur = limit.rlim_max
        // SAFETY: as above.
        guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw BerthError(.permissionDenied, "raise the limit on open files from \(before[0]) to \(before[1])")
        }
        original.withLock { $0 = before }
    }

    /// Gives a child that was just started the limit from before `raise`.
    static func restore(for child: pid_t) {
        let before = original.withLock { $0 }
        guard before.count == 2 else { return }
        // A child that has already ended needs no limit.
        _ = berth_limit_open_files(child, before[0], before[1])
    }
}
