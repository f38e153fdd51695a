package import BerthBase
internal import CBerthSystem
internal import Glibc
package import SystemPackage

/// Turns the `-errno` of the C leaves into an error.
@discardableResult
func sys(_ result: Int32) throws(Errno) -> Int32 {
    guard result < 0 else { return result }
    throw Errno(rawValue: -result)
}

/// As `sys`, again while a signal interrupts.
@discardableResult
func sysRetrying(_ call: () -> Int32) throws(Errno) -> Int32 {
    while true {
        let result = call()
        if result == -EINTR { continue }
        return try sys(result)
    }
}

extension Errno {
    /// The symbolic name, e.g. `EINVAL`.
    package var name: String {
        // SAFETY: berth_errno_name returns a constant of libc, or NULL for a number it does not know.
        guard let name = unsafe berth_errno_name(rawValue) else { return "errno \(rawValue)" }
        return unsafe String(cString: name)
    }
}

extension BerthError {
    /// What failed with a system call's error: `mount '/x': EINVAL`.
    ///
    /// Disfavoured, because `.invalidArgument` is a case of both error types and means the code.
    @_disfavoredOverload
    package init(_ errno: Errno, _ attempt: String) {
        self.init(BerthError.code(of: errno), "\(attempt): \(errno.name)")
    }

    private static func code(of errno: Errno) -> Code {
        switch errno {
        case .noSuchFileOrDirectory, .noSuchProcess, .noSuchAddressOrDevice: .notFound
        case .fileExists: .alreadyExists
        case .permissionDenied, .notPermitted, .readOnlyFileSystem: .permissionDenied
        case .invalidArgument, .notDirectory, .isDirectory, .fileNameTooLong: .invalidArgument
        case .noSpace, .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory, .diskQuotaExceeded:
            .resourceExhausted
        case .resourceBusy, .directoryNotEmpty: .failedPrecondition
        case .noFunction, .notSupported: .unimplemented
        case .timedOut: .deadlineExceeded
        case .connectionRefused, .brokenPipe, .connectionReset: .unavailable
        default: .internal
        }
    }
}

/// Runs a leaf that throws `Errno`, and says what was being attempted.
package func attempting<T: ~Copyable>(
    _ what: @autoclosure () -> String, _ body: () throws(Errno) -> T
) throws(BerthError) -> T {
    do { return try body() } catch { throw BerthError(error, what()) }
}
