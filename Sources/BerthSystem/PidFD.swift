internal import CBerthSystem
internal import Glibc
package import SystemPackage

/// How a process ended.
package enum ExitOutcome: Hashable, Sendable {
    case exited(Int32)
    case signaled(Int32, coreDumped: Bool)

    /// The shell's number: the status, or 128 and the signal.
    package var status: Int32 {
        switch self {
        case .exited(let status): status
        case .signaled(let signal, _): 128 + signal
        }
    }
}

/// Processes by descriptors that cannot come to mean another process.
package enum PidFD {
    /// A descriptor of a process.
    package static func open(_ pid: Int32) throws(Errno) -> OwnedFD { OwnedFD(try sys(berth_open_pidfd(pid, 0))) }

    /// Sends a signal.
    package static func signal(_ pidfd: Int32, _ signal: Int32) throws(Errno) {
        try sys(berth_pidfd_send_signal(pidfd, signal))
    }

    /// Waits for a child to end and reaps it; nil if `block` is false and it still runs.
    package static func reap(_ pidfd: Int32, block: Bool = true) throws(Errno) -> ExitOutcome? {
        try wait(type: 3, id: pidfd, options: WEXITED | (block ? 0 : WNOHANG)).map(\.outcome)
    }

    /// A child, whichever, that has ended and was not reaped; it stays to be reaped. nil if there is none.
    package static func peekEnded() throws(Errno) -> (pid: Int32, outcome: ExitOutcome)? {
        do {
            return try wait(type: 0, id: 0, options: WEXITED | WNOHANG | WNOWAIT)
        } catch {
            if error == .noChildProcess { return nil }
            throw error
        }
    }

    /// Waits for a child by its pid and reaps it.
    package static func reap(pid: Int32) throws(Errno) -> ExitOutcome? {
        try wait(type: 1, id: pid, options: WEXITED).map(\.outcome)
    }

    /// Reaps a child by its pid if it has ended; nil if it still runs.
    package static func reapIfEnded(pid: Int32) throws(Errno) -> ExitOutcome? {
        try wait(type: 1, id: pid, options: WEXITED | WNOHANG).map(\.outcome)
    }

    private static func wait(
        type: Int32, id: Int32, options: Int32
    ) throws(Errno) -> (pid: Int32, outcome: ExitOutcome)? {
        var info = berth_wait()
        // SAFETY: the structure lives through the call.
        try sysRetrying { unsafe berth_waitid(type, id, options, &info) }
        guard info.pid != 0 else { return nil }
        switch info.code {
        case 1: return (info.pid, .exited(info.status))
        default: return (info.pid, .signaled(info.status, coreDumped: info.code == 3))
        }
    }

    /// Whether the process has ended (also as a zombie); waits at most `milliseconds`.
    package static func ended(_ pidfd: Int32, within milliseconds: Int32) throws(Errno) -> Bool {
        var poller = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
        // SAFETY: one structure, and the count says one.
        return try retrying { unsafe poll(&poller, 1, milliseconds) } > 0
    }
}
