import BerthBase
import BerthSystem
import Glibc
import SystemPackage

/// A program that runs beside a test, and ends with it: it is told to when its standard input ends.
final class Companion: Sendable {
    private let pid: pid_t
    private let leash: Int32

    /// Runs a shell script; its background process `$!` is killed when the test lets go or dies.
    init(_ script: String, log: String) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw BerthError(.internal, "make a pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let whole = "exec 3<&0; \(script) </dev/null >>'\(log)' 2>&1 & child=$!; disown; read _ <&3; kill -9 $child"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        var words: [UnsafeMutablePointer<CChar>?] = []
        for word in ["/bin/bash", "-c", whole] { words.append(strdup(word)) }
        words.append(nil)
        var child = pid_t()
        let result = posix_spawn(&child, "/bin/bash", &actions, nil, &words, environ)
        for word in words { free(word) }
        close(ends[0])
        posix_spawn_file_actions_destroy(&actions)
        guard result == 0 else { throw BerthError(.internal, "start a companion: \(result)") }
        (pid, leash) = (child, ends[1])
    }

    func end() {
        close(leash)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }
}

/// A port of this machine that nobody uses now.
func freePort() throws -> Int {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let port = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> UInt16 in
            guard bind(socket, generic, length) == 0, getsockname(socket, generic, &length) == 0 else { return 0 }
            return pointer.pointee.sin_port.bigEndian
        }
    }
    guard port != 0 else { throw BerthError(.internal, "find a free port") }
    return Int(port)
}

/// Runs a program of the host to its end.
@discardableResult
func run(_ words: String..., check: Bool = true) throws -> String {
    let outcome = try ChildProcess.run(
        .init(
            "/usr/bin/env", words, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"],
            deadline: .seconds(120)))
    let text = String(decoding: outcome.output, as: UTF8.self)
    guard outcome.status == 0 || !check else {
        throw BerthError(.internal, "\(words): \(outcome.status): \(String(decoding: outcome.errors, as: UTF8.self))")
    }
    return text
}

/// Debian's docker-registry on a free port of this machine.
final class DockerRegistry: Sendable {
    let host: String
    let folder: String
    private let companion: Companion

    /// - Parameter http: more of the configuration's `http` table, and tables after it.
    init(in folder: String, http: String = "", environment: String = "") async throws {
        let port = try freePort()
        host = "127.0.0.1:\(port)"
        self.folder = folder
        let config = """
            version: 0.1
            log: {level: error, accesslog: {disabled: true}}
            storage: {filesystem: {rootdirectory: \(folder)/storage}, delete: {enabled: true}}
            http:
              addr: \(host)
            \(http)
            """
        mkdir(folder, 0o755)
        try Files.replace(folder + "/config.yml", with: Array(config.utf8), mode: 0o600)
        companion = try Companion("\(environment) docker-registry serve '\(folder)/config.yml'", log: folder + "/log")
        try await waitForListener(port)
    }

    /// Puts an image of a layout there.
    func push(_ layout: String, as name: String, _ more: [String] = [], preserving: Bool = true) throws {
        let exact = preserving ? ["--preserve-digests"] : []
        let words = ["skopeo", "--insecure-policy", "copy", "--all", "--dest-tls-verify=false"] + more
        let outcome = try ChildProcess.run(
            .init(
                "/usr/bin/env", words + exact + ["oci:\(layout)", "docker://\(host)/\(name)"],
                environment: ["PATH=/usr/bin:/bin", "HOME=/tmp"], deadline: .seconds(120)))
        guard outcome.status == 0 else {
            throw BerthError(.internal, "skopeo: \(String(decoding: outcome.errors, as: UTF8.self))")
        }
    }

    func end() { companion.end() }
}

/// Waits until somebody listens on a port of this machine.
func waitForListener(_ port: Int) async throws {
    for _ in 0..<1200 {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result == 0 { return }
        try await Task.sleep(for: .milliseconds(25))
    }
    throw BerthError(.unavailable, "nobody listens on port \(port)")
}
