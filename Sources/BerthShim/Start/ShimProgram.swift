internal import BerthBase
internal import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The shim as a program.
package enum ShimProgram {
    /// Runs the command line; the exit status.
    package static func run(_ words: [String]) -> Int32 {
        DaemonProcess.keepHeapSmall()
        do throws(BerthError) {
            let arguments = try ShimArguments(words)
            switch arguments.action {
            case .version:
                say("containerd-shim-berth-v1:\n  Version:  \(ShimVersion.current)\n")
                return 0
            case .info: return try info()
            case .start: return try StartCommand(arguments).run()
            case .delete: return try DeleteCommand(arguments).run()
            }
        } catch {
            complain("\(error)")
            return 1
        }
    }

    /// `containerd.types.RuntimeInfo`, encoded.
    private static func info() throws(BerthError) -> Int32 {
        var version = RuntimeVersionMessage()
        version.version = ShimVersion.current
        var info = RuntimeInfoMessage()
        info.name = "io.containerd.berth.v1"
        info.version = version
        say(info.encoded())
        return 0
    }

    static func say(_ text: String) { say(Array(text.utf8)) }
    static func say(_ bytes: [UInt8]) { _ = try? Files.write(bytes, to: 1) }
    static func complain(_ text: String) {
        _ = try? Files.write(Array("containerd-shim-berth-v1: \(text)\n".utf8), to: 2)
    }

    /// A variable of the environment; empty if it is not there.
    static func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

    /// The directory the daemon named, or the one we were started in.
    static func bundle(_ arguments: ShimArguments) throws(BerthError) -> String {
        if !arguments.bundle.isEmpty { return arguments.bundle }
        guard let path = getcwd(nil, 0) else { throw BerthError(Errno(rawValue: errno), "look where we are") }
        defer { free(path) }
        return String(cString: path)
    }

    /// `BERTH_INIT`, or `berth-init` beside this program or in `../libexec/berth`.
    static func initPath() throws(BerthError) -> String {
        let named = variable("BERTH_INIT")
        if !named.isEmpty { return named }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let own = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = own[..<(own.lastIndex(of: "/") ?? own.startIndex)]
        let places = ["\(folder)/berth-init", "\(folder)/../libexec/berth/berth-init"]
        guard let found = places.first(where: { access($0, R_OK) == 0 }) else {
            throw BerthError(
                .notFound, "berth-init is neither '\(places[0])' nor '\(places[1])'; BERTH_INIT names another place")
        }
        return found
    }
}
