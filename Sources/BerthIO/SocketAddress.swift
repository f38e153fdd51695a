internal import BerthSystem
internal import CBerthSystem
internal import Glibc
internal import SystemPackage

/// Where a stream socket listens.
package enum SocketAddress: Sendable, Hashable, CustomStringConvertible {
    /// A path, also one longer than the 107 bytes of `sockaddr_un`.
    case unix(String)
    /// IPv4 on the loopback interface; port 0 picks a free one.
    case loopback(port: UInt16)

    package var description: String {
        switch self {
        case .unix(let path): path
        case .loopback(let port): "127.0.0.1:\(port)"
        }
    }

    /// A new socket for this kind of address: non-blocking and close-on-exec.
    func makeSocket() throws(Errno) -> OwnedFD {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        switch self {
        case .unix: return OwnedFD(try check(socket(AF_UNIX, type, 0)))
        case .loopback:
            let made = OwnedFD(try check(socket(AF_INET, type, 0)))
            var on: Int32 = 1
            // SAFETY: the option is a number of the size given.
            unsafe setsockopt(made.rawValue, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
            unsafe setsockopt(made.rawValue, SOL_SOCKET, SO_REUSEADDR, &on, 4)
            return made
        }
    }

    /// Binds a socket here.
    func bind(_ socket: Int32) throws(Errno) {
        // SAFETY: the address is valid during the call and `size` bytes long.
        try unsafe with { (address, size) throws(Errno) in
            _ = try check(unsafe Glibc.bind(socket, address, size))
        }
    }

    /// Connects a socket to here, once.
    func connect(_ socket: Int32) throws(Errno) {
        // SAFETY: as above.
        try unsafe with { (address, size) throws(Errno) in
            _ = try retrying { unsafe Glibc.connect(socket, address, size) }
        }
    }

    private func with(_ body: (UnsafePointer<sockaddr>, socklen_t) throws(Errno) -> Void) throws(Errno) {
        switch self {
        case .unix(let path): try unsafe Self.with(path: path, body)
        case .loopback(let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            try unsafe Self.rebind(&address, body)
        }
    }

    private static func with(
        path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(Errno) -> Void
    ) throws(Errno) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        if path.utf8.count <= room {
            fill(&address, path)
            return try unsafe rebind(&address, body)
        }
        // A long path goes by a descriptor of its folder.
        guard let slash = path.lastIndex(of: "/") else { throw .fileNameTooLong }
        let folder = try Files.directory(String(path[..<slash]))
        let short = "/proc/self/fd/\(folder.rawValue)/\(path[path.index(after: slash)...])"
        guard short.utf8.count <= room else { throw .fileNameTooLong }
        fill(&address, short)
        try unsafe rebind(&address, body)
    }

    private static func fill(_ address: inout sockaddr_un, _ path: String) {
        // SAFETY: the caller has checked that the path and its NUL fit.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    }

    private static func rebind<Address>(
        _ address: inout Address, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(Errno) -> Void
    ) throws(Errno) {
        let size = socklen_t(MemoryLayout<Address>.size)
        try unsafe withUnsafePointer(to: &address) { pointer throws(Errno) in
            // SAFETY: every socket address starts with the fields of `sockaddr`; the size says where it ends.
            try unsafe UnsafeRawPointer(pointer).withMemoryRebound(to: sockaddr.self, capacity: 1) {
                generic throws(Errno) in
                try unsafe body(generic, size)
            }
        }
    }

    /// The port a TCP socket is bound to.
    static func port(of socket: Int32) -> UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // SAFETY: the structure has the size given.
        let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe UnsafeMutableRawPointer(pointer).withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(socket, $0, &size)
            }
        }
        return result == 0 ? UInt16(bigEndian: address.sin_port) : 0
    }

    /// The process at the other end of a unix socket; nil for other sockets.
    package static func peer(of socket: Int32) -> PeerIdentity? {
        var peer = PeerIdentity(pid: 0, uid: 0, gid: 0)
        // SAFETY: three numbers are written to three numbers of their types.
        return unsafe berth_peer(socket, &peer.pid, &peer.uid, &peer.gid) == 0 ? peer : nil
    }
}
