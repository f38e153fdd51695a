internal import BerthBase
internal import BerthSystem
internal import Glibc

/// Where our own shims listen: files in a directory that only root enters (CVE-2020-15257), never abstract names.
enum ShimSocket {
    /// `sun_path` without its end.
    static let maxPathLength = 107

    /// The path for a shim: the same after a restart, so that one whose answer was lost is found again.
    static func path(of key: ShimKey, in folder: String) -> String {
        // FNV-1a. A clash of two keys is caught: the shim refuses a socket on which another listens.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in "\(key)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return "\(folder)/\(String(repeating: "0", count: 16 - digits.count))\(digits)"
    }

    /// Makes a directory of that mode, whatever the umask and whatever was there.
    static func makePrivateFolder(_ path: String, mode: UInt32) throws {
        do {
            try Files.makeDirectories(path, mode: mode)
        } catch { throw BerthError(.internal, "make directory '\(path)'", cause: error) }
        guard chmod(path, mode) == 0 else {
            throw BerthError(.internal, "set the mode of '\(path)': \(String(cString: strerror(errno)))")
        }
    }
}
