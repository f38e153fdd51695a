internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Where shims listen: files of mode 0600 in a directory that only root enters, never abstract names.
struct ShimSocket: Hashable {
    /// The directory of all shims' sockets and of compiled filters.
    static let folder = "/run/berth-shim"

    let path: String

    /// The socket of a group of containers: the same for all of a pod, another for each daemon and namespace.
    init(address: String, namespace: String, group: String) {
        path = "\(ShimSocket.folder)/s/\(ShimSocket.digest("\(address)\n\(namespace)\n\(group)"))"
    }

    /// Where the daemon that starts us says, in `BERTH_SHIM_SOCKET`, or else where all shims of other daemons are.
    static func wanted(_ arguments: ShimArguments, group: String) -> ShimSocket {
        let named = ShimProgram.variable("BERTH_SHIM_SOCKET")
        if named.hasPrefix("/") { return ShimSocket(path: named) }
        return ShimSocket(address: arguments.address, namespace: arguments.namespace, group: group)
    }

    /// The socket whose address was written into a bundle.
    static func recorded(in bundle: String) -> ShimSocket? {
        guard let text = try? Files.text(bundle + "/address"), text.hasPrefix("unix:///") else { return nil }
        return ShimSocket(path: String(text.dropFirst("unix://".count)))
    }

    private init(path: String) { self.path = path }

    /// `unix:///…`.
    var address: String { "unix://" + path }

    /// Two FNV-1a sums with different beginnings: 128 bits, for names that nobody hostile chooses.
    private static func digest(_ text: String) -> String {
        let starts: [UInt64] = [0xcbf2_9ce4_8422_2325, 0x6c62_272e_07bb_0142]
        return starts.map { start in
            let sum = text.utf8.reduce(start) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
            let digits = String(sum, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    /// Whether a shim answers there.
    var isServed: Bool { (try? Messages.connectStream(to: path)) != nil }

    /// Listens; a file that a dead shim left is replaced.
    ///
    /// - Throws: `alreadyExists` if a shim is there.
    func listen() throws(BerthError) -> OwnedFD {
        try makeFolder()
        do throws(Errno) { return try LocalSocket.listen(at: path, backlog: 64) } catch {
            guard error == .addressInUse else { throw BerthError(error, "listen on '\(path)'") }
        }
        guard !isServed else { throw BerthError(.alreadyExists, "listen on '\(path)': a shim is there") }
        return try attempting("listen on '\(path)'") { () throws(Errno) in
            try Files.remove(path)
            return try LocalSocket.listen(at: path, backlog: 64)
        }
    }

    private func makeFolder() throws(BerthError) {
        try attempting("make '\(ShimSocket.folder)'") { () throws(Errno) in
            for folder in [ShimSocket.folder, ShimSocket.folder + "/s", ShimSocket.folder + "/cache"] {
                try Files.makeDirectories(folder, mode: 0o700)
            }
            let status = try Files.status(ShimSocket.folder)
            // Somebody else's directory, or a link to one, is no place for our sockets.
            guard status.isDirectory, status.uid == geteuid(), status.mode & 0o077 == 0 else { throw .notPermitted }
        }
    }
}
