internal import BerthBase
internal import Glibc

/// The program behind a runtime's name. Source: containerd's runtime v2 documentation, "Invocation".
package struct ShimBinary: Sendable, Hashable {
    /// The runtime as clients name it: `io.containerd.berth.v1`, or a path.
    package let runtime: String
    /// The program's path.
    package let path: String

    /// Berth's own shim.
    package static let ownRuntime = "io.containerd.berth.v1"

    /// Finds `containerd-shim-<name>-<version>` beside this program, then in `PATH`.
    ///
    /// - Throws: `invalidArgument` for a name that is none; `notFound` that says where it was looked for.
    package init(runtime: String, programFolder: String, searchPath: String) throws {
        self.runtime = runtime
        if runtime.hasPrefix("/") {
            guard access(runtime, X_OK) == 0 else {
                throw BerthError(.notFound, "runtime '\(runtime)': no executable file there")
            }
            path = runtime
            return
        }
        let parts = runtime.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 3, parts.allSatisfy({ !$0.isEmpty }), !runtime.contains("/") else {
            throw BerthError(
                .invalidArgument, "runtime '\(runtime)' is neither a path nor like 'io.containerd.runc.v2'")
        }
        let program = "containerd-shim-\(parts[parts.count - 2])-\(parts[parts.count - 1])"
        let folders = [programFolder] + searchPath.split(separator: ":").map(String.init)
        for folder in folders where access("\(folder)/\(program)", X_OK) == 0 {
            path = "\(folder)/\(program)"
            return
        }
        throw BerthError(
            .notFound, "runtime '\(runtime)': '\(program)' is in none of \(folders.joined(separator: ", "))")
    }

    /// Finds a runtime's program for this daemon.
    package static func find(_ runtime: String) throws -> ShimBinary {
        let searchPath = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        return try ShimBinary(runtime: runtime, programFolder: programFolder, searchPath: searchPath)
    }

    /// The folder of the running program.
    package static var programFolder: String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { return "/usr/bin" }
        let path = String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }
}
