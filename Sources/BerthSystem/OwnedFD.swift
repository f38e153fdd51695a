internal import Glibc
package import SystemPackage

/// A file descriptor with one owner, closed when the owner ends.
package struct OwnedFD: ~Copyable, Sendable {
    /// The number, for calls; it must not outlive this value.
    package let rawValue: Int32

    /// Takes ownership of an open descriptor.
    package init(_ rawValue: Int32) { self.rawValue = rawValue }

    deinit { if rawValue >= 0 { close(rawValue) } }

    /// Gives the ownership away: the caller closes.
    package consuming func release() -> Int32 {
        let number = rawValue
        discard self
        return number
    }

    /// A second descriptor of the same open file, close-on-exec.
    package func duplicate() throws(Errno) -> OwnedFD {
        try OwnedFD(check(fcntl(rawValue, F_DUPFD_CLOEXEC, 3)))
    }
}

/// Turns the -1 of a call of libc into an error.
@discardableResult
package func check<T: FixedWidthInteger & SignedInteger>(_ result: T) throws(Errno) -> T {
    guard result == -1 else { return result }
    throw Errno(rawValue: Glibc.errno)
}

/// As `check`, again and again while a signal interrupts.
@discardableResult
package func retrying<T: FixedWidthInteger & SignedInteger>(_ call: () -> T) throws(Errno) -> T {
    while true {
        let result = call()
        if result != -1 { return result }
        let error = Errno(rawValue: Glibc.errno)
        if error != .interrupted { throw error }
    }
}
