internal import BerthBase
internal import Glibc
package import SystemPackage

/// Folders of the daemon with the modes that keep host users out (CVE-2021-41103, CVE-2024-25621).
package enum PrivateFolder {
    /// Makes a folder, or corrects its mode; parents that are missing are made with mode 0711.
    ///
    /// - Throws: `failedPrecondition` for a folder of another user, or something that is no folder.
    package static func make(_ path: FilePath, mode: UInt32) throws {
        var partial = ""
        let components = path.components.map(\.string)
        for (index, component) in components.enumerated() {
            partial += "/\(component)"
            let last = index == components.count - 1
            if mkdir(partial, last ? mode_t(mode) : 0o711) != 0 && errno != EEXIST {
                throw failure("make directory '\(partial)'")
            }
        }
        var info = stat()
        // A link is followed: operators put the root on another disk that way.
        guard stat(path.string, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else {
            throw BerthError(.failedPrecondition, "'\(path)' is no directory")
        }
        guard info.st_uid == geteuid() else {
            throw BerthError(
                .failedPrecondition,
                "directory '\(path)' belongs to user \(info.st_uid), who could change what is in it; "
                    + "give it to user \(geteuid())"
            )
        }
        if info.st_mode & 0o7777 != mode_t(mode), chmod(path.string, mode_t(mode)) != 0 {
            throw failure("correct the mode of '\(path)'")
        }
    }

    private static func failure(_ what: String) -> BerthError {
        let code: BerthError.Code =
            errno == ENOSPC ? .resourceExhausted : errno == EACCES ? .permissionDenied : .internal
        return BerthError(code, "\(what): \(String(cString: strerror(errno)))")
    }
}
