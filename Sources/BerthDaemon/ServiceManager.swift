internal import Glibc

/// Tells the service manager how the daemon is. Source: sd_notify(3).
enum ServiceManager {
    /// Sends a state; does nothing when no service manager listens.
    static func notify(_ state: String) {
        guard let value = getenv("NOTIFY_SOCKET") else { return }
        var path = Array(String(cString: value).utf8)
        guard path.count > 1, path.count < 108 else { return }
        // A leading '@' names an abstract socket, whose first byte is 0.
        if path[0] == UInt8(ascii: "@") { path[0] = 0 }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let bytes = Array(state.utf8)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { target in
                _ = bytes.withUnsafeBytes {
                    sendto(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), target, length)
                }
            }
        }
    }

    /// Sends WATCHDOG=1 at half the interval that the service manager asks for.
    static func watchdog() -> Task<Void, Never>? {
        guard let value = getenv("WATCHDOG_USEC"), let interval = Int64(String(cString: value)), interval > 0 else {
            return nil
        }
        if let owner = getenv("WATCHDOG_PID"), Int32(String(cString: owner)) != getpid() { return nil }
        return Task {
            while !Task.isCancelled {
                notify("WATCHDOG=1")
                try? await Task.sleep(for: .microseconds(interval / 2))
            }
        }
    }

    static var monotonicMicroseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }
}
