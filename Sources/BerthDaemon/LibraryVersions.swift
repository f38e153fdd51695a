internal import BerthDigest
internal import BerthGRPC
internal import BerthStore
internal import BerthSystem
internal import Glibc
internal import ImagesPlugins

/// The versions of what Berth is built on, as they were loaded.
enum LibraryVersions {
    /// One line each.
    static var text: String {
        (["berthd \(Daemon.version)"] + libraries.map { "\($0.0) \($0.1)" }).joined(separator: "\n")
    }

    /// By name, `berthd` among them.
    static var all: [String: String] {
        Dictionary(libraries + [("berthd", Daemon.version)], uniquingKeysWith: { first, _ in first })
    }

    private static var libraries: [(String, String)] {
        [
            ("libnghttp2", HTTP2Library.version), ("libsqlite3", SQLiteLibrary.version), ("libseccomp", seccomp),
            ("libcap", CapabilityLibrary.version), ("libcurl", CurlLibrary.version), ("OpenSSL", CryptoLibrary.version),
        ]
    }

    /// The library that shims compile filters with. The daemon itself does not use it, so it is loaded for this answer.
    private static var seccomp: String {
        guard let library = dlopen("libseccomp.so.2", RTLD_LAZY) else { return "not found" }
        defer { dlclose(library) }
        typealias Version = @convention(c) () -> UnsafePointer<UInt32>?
        guard let symbol = dlsym(library, "seccomp_version") else { return "unknown" }
        // Its structure is three numbers: major, minor, micro.
        guard let version = unsafeBitCast(symbol, to: Version.self)() else { return "unknown" }
        return "\(version[0]).\(version[1]).\(version[2])"
    }
}
