internal import BerthBase
internal import Glibc
internal import SystemPackage

/// Keeps a second daemon from the same folder, by a lock that the kernel lets go with the process.
final class InstanceLock: Sendable {
    private let descriptor: Int32

    /// Takes the lock of a folder; `role` is `root` or `state`.
    ///
    /// - Throws: `failedPrecondition` naming the process that holds it.
    init(_ folder: FilePath, as role: String) throws {
        let path = folder.appending("lock").string
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw BerthError(.internal, "open '\(path)': \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var buffer = [UInt8](repeating: 0, count: 32)
            let count = max(0, pread(descriptor, &buffer, buffer.count, 0))
            let holder = String(decoding: buffer[0..<count], as: UTF8.self)
            throw BerthError(
                .failedPrecondition,
                "another berthd, process \(holder), uses the \(role) '\(folder)'; "
                    + "stop it, or start this one with another --\(role)"
            )
        }
        let text = "\(getpid())"
        ftruncate(descriptor, 0)
        pwrite(descriptor, text, text.utf8.count, 0)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
