internal import BerthBase
internal import Glibc
internal import SystemPackage

/// Keeps a second daemon from the same root, by a lock that the kernel lets go with the process.
final class InstanceLock: Sendable {
    private let descriptor: Int32

    /// - Throws: `failedPrecondition` naming the process that holds the root.
    init(root: FilePath) throws {
        let path = root.appending("lock").string
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw BerthError(.internal, "open '\(path)': \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var buffer = [UInt8](repeating: 0, count: 32)
            let count = max(0, pread(descriptor, &buffer, buffer.count, 0))
            let holder = String(decoding: buffer[0..<count], as: UTF8.self)
            close(descriptor)
            throw BerthError(
                .failedPrecondition,
                "another berthd, process \(holder), uses the root '\(root)'; stop it, or start this one with --root and --state")
        }
        let text = "\(getpid())"
        ftruncate(descriptor, 0)
        pwrite(descriptor, text, text.utf8.count, 0)
    }

    deinit { close(descriptor) }
}
