import BerthBase
import Glibc

/// The service manager's side of sd_notify(3): a datagram socket.
final class NotifySocket: Sendable {
    private let descriptor: Int32

    /// Binds to a path, or to an abstract name that begins with `@`.
    init(_ name: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard result == 0 else { throw BerthError(.internal, "bind '\(name)': \(String(cString: strerror(errno)))") }
    }

    deinit { close(descriptor) }

    /// The next message's lines; at most ten seconds.
    func next() async throws -> [String] {
        var buffer = [UInt8](repeating: 0, count: 4096)
        for _ in 0..<1000 {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                return String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw BerthError(.deadlineExceeded, "no message on the notify socket")
    }

    /// The next message that has a line beginning so.
    func next(with prefix: String) async throws -> [String] {
        for _ in 0..<100 {
            let lines = try await next()
            if lines.contains(where: { $0.hasPrefix(prefix) }) { return lines }
        }
        throw BerthError(.notFound, "no '\(prefix)' among 100 messages")
    }
}
