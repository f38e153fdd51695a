internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Stays with a process until it ends: forwards signals, and relays the terminal if it has one.
struct Foreground: ~Copyable {
    private let signals: SignalQueue

    /// Blocks the signals from now on, so that none is lost before the process is there.
    init() throws(BerthError) {
        signals = try attempting("wait for signals") { () throws(Errno) in try SignalQueue() }
    }

    /// The size of our own terminal, if standard input is one.
    static func size() -> OCIConsoleSize? {
        var size = winsize()
        guard isatty(0) == 1, ioctl(0, UInt(TIOCGWINSZ), &size) == 0 else { return nil }
        return OCIConsoleSize(height: size.ws_row, width: size.ws_col)
    }

    /// Waits; the exit status in the shell's numbers.
    consuming func wait(for process: borrowing LaunchedProcess) throws(BerthError) -> Int32 {
        let master = process.console.borrowedNumber
        let old = master == nil ? nil : Foreground.makeRaw()
        defer { if var old { tcsetattr(0, TCSANOW, &old) } }
        var readsInput = master != nil
        while true {
            var entries = [
                pollfd(fd: process.pidfd.rawValue, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signals.descriptor.rawValue, events: Int16(POLLIN), revents: 0),
                pollfd(fd: master ?? -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: readsInput ? 0 : -1, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&entries, UInt(entries.count), -1) >= 0 || errno == EINTR else {
                throw BerthError(Errno(rawValue: errno), "wait for the process")
            }
            if entries[1].revents != 0 { forward(to: process, master) }
            if entries[3].revents != 0, let master { readsInput = Foreground.copy(from: 0, to: master) }
            if entries[2].revents != 0, let master, Foreground.copy(from: master, to: 1) { continue }
            guard entries[0].revents != 0 else { continue }
            if let master { while Foreground.copy(from: master, to: 1) {} }
            let outcome = try attempting("wait for the process") { () throws(Errno) in
                try PidFD.reap(process.pidfd.rawValue)
            }
            return outcome?.status ?? 0
        }
    }

    private func forward(to process: borrowing LaunchedProcess, _ master: Int32?) {
        while let signal = signals.next() {
            switch signal {
            case SIGCHLD, SIGURG: reapStrangers(except: process.pid)
            case SIGWINCH:
                var size = winsize()
                if let master, ioctl(0, UInt(TIOCGWINSZ), &size) == 0 { _ = ioctl(master, UInt(TIOCSWINSZ), &size) }
            default: try? PidFD.signal(process.pidfd.rawValue, signal)
            }
        }
    }

    /// Children that were left to us, such as first processes that gave way to their child.
    private func reapStrangers(except pid: Int32) {
        while let ended = try? PidFD.peekEnded(), ended.pid != pid {
            _ = try? PidFD.reap(pid: ended.pid)
        }
    }

    private static func makeRaw() -> termios? {
        var old = termios()
        guard isatty(0) == 1, tcgetattr(0, &old) == 0 else { return nil }
        var raw = old
        cfmakeraw(&raw)
        tcsetattr(0, TCSANOW, &raw)
        return old
    }

    /// Copies what is there; false at the end.
    private static func copy(from: Int32, to: Int32) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16384)
        let count = read(from, &buffer, buffer.count)
        guard count > 0 else { return false }
        return (try? Files.write(Array(buffer[..<count]), to: to)) != nil
    }
}

extension Optional where Wrapped == OwnedFD {
    /// The number without the ownership.
    var borrowedNumber: Int32? {
        borrowing get {
            switch self {
            case .some(let fd): fd.rawValue
            case .none: nil
            }
        }
    }
}
