internal import BerthBase
package import BerthSystem
internal import CBerthSystem
internal import Glibc
internal import SystemPackage

/// A listening stream socket.
package final class Listener: Sendable {
    /// Connections that wait to be accepted, in the kernel.
    package static let backlog: Int32 = 256

    /// Where it listens, with the port that was picked.
    package let address: SocketAddress
    private let loop: EventLoop
    private let socket: OwnedFD
    private let readiness: Readiness
    /// The socket file made, to remove that one and no other.
    private let file: FileStatus?

    /// Listens.
    ///
    /// A unix socket's file has the mode from its first moment and the group right after; a stale file (nobody
    /// listens there any more) is replaced.
    ///
    /// - Throws: `alreadyExists` when somebody listens there, or a file that is no socket is in the way.
    package init(_ address: SocketAddress, mode: UInt32 = 0o600, group: UInt32? = nil, on loop: EventLoop)
        throws
    {
        socket = try Self.open(address, mode: mode, group: group)
        let number = socket.rawValue
        if case .unix(let path) = address {
            self.address = address
            file = try? Files.status(path)
        } else {
            self.address = .loopback(port: SocketAddress.port(of: number))
            file = nil
        }
        self.loop = loop
        readiness = try Readiness(of: number, on: loop)
    }

    private static func open(_ address: SocketAddress, mode: UInt32, group: UInt32?) throws -> OwnedFD {
        let attempt = "listen on '\(address)'"
        guard case .unix(let path) = address else {
            return try attempting(attempt) { () throws(Errno) in
                let socket = try address.makeSocket()
                try address.bind(socket.rawValue)
                try check(listen(socket.rawValue, Self.backlog))
                return socket
            }
        }
        let socket = try bind(path, mode: mode, attempt)
        do throws(Errno) {
            // SAFETY: the string lives through the call, as in all calls below.
            if let group { try check(unsafe chown(path, uid_t.max, group)) }
            try check(listen(socket.rawValue, Self.backlog))
        } catch {
            unsafe unlink(path)
            throw BerthError(error, attempt)
        }
        return socket
    }

    deinit { close() }

    /// The next connection.
    ///
    /// - Throws: `cancelled` when the task is or `close` was called; `resourceExhausted` when the process has no
    ///   descriptor left: wait before the next call.
    package func accept() async throws -> Stream { try Stream(try await acceptDescriptor(), on: loop) }

    /// As `accept`, for those who read and write by themselves: non-blocking, close-on-exec.
    package func acceptDescriptor() async throws -> OwnedFD {
        while true {
            if let taken = try take() { return taken }
            try await readiness.next()
        }
    }

    private func take() throws -> OwnedFD? {
        while true {
            do throws(Errno) {
                return OwnedFD(try result(of: berth_accept(socket.rawValue)))
            } catch {
                switch error {
                case .resourceTemporarilyUnavailable: return nil
                case .connectionAbort, .interrupted: continue
                default: throw BerthError(error, "accept on '\(address)'")
                }
            }
        }
    }

    /// Stops listening and removes the socket file, unless another took its place. Again is harmless.
    package func close() {
        readiness.end()
        shutdown(socket.rawValue, Int32(SHUT_RDWR))
        guard case .unix(let path) = address, let file else { return }
        guard let now = try? Files.status(path), now.device == file.device, now.inode == file.inode else {
            return
        }
        // SAFETY: the string lives through the call.
        unsafe unlink(path)
    }

    // SAFETY: the strings live through the calls.
    private static func bind(_ path: String, mode: UInt32, _ attempt: String) throws -> OwnedFD {
        let address = SocketAddress.unix(path)
        let socket = try attempting(attempt) { () throws(Errno) in
            let socket = try address.makeSocket()
            // Linux gives the file the mode the socket has when it is bound.
            try check(fchmod(socket.rawValue, mode))
            return socket
        }
        do throws(Errno) { try address.bind(socket.rawValue) } catch {
            guard error == .addressInUse else { throw BerthError(error, attempt) }
            guard try attempting(attempt, { () throws(Errno) in try Files.status(path) }).isSocket else {
                throw BerthError(.alreadyExists, "\(attempt): a file that is no socket is in the way")
            }
            guard isStale(address) else {
                throw BerthError(.alreadyExists, "\(attempt): somebody listens there")
            }
            unsafe unlink(path)
            try attempting(attempt) { () throws(Errno) in try address.bind(socket.rawValue) }
        }
        // The umask may have taken bits away.
        if unsafe chmod(path, mode) != 0 { throw BerthError(Errno(rawValue: errno), attempt) }
        return socket
    }

    private static func isStale(_ address: SocketAddress) -> Bool {
        do throws(Errno) {
            let probe = try address.makeSocket()
            try address.connect(probe.rawValue)
            return false
        } catch { return error == .connectionRefused }
    }
}

extension FileStatus {
    fileprivate var isSocket: Bool { mode & S_IFMT == S_IFSOCK }
}
