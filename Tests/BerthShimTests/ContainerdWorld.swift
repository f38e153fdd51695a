import BerthBase
import BerthSystem
import Glibc
import SystemPackage
import Testing

/// Debian's containerd with a root, state and sockets of its own, and an image of busybox in it.
final class ContainerdWorld: Sendable {
    static let image = "docker.io/test/busybox:latest"
    let world: ShimWorld
    private let pid: Int32
    private let environment: [String]

    /// Whether what it takes is installed.
    static var isInstalled: Bool {
        let programs = ["/usr/bin/containerd", "/usr/bin/ctr", "/usr/bin/umoci", "/usr/bin/skopeo", "/bin/busybox"]
        return programs.allSatisfy { access($0, X_OK) == 0 }
    }

    init() throws {
        world = try ShimWorld()
        let folder = world.folder
        let path = FilePath(ShimWorld.program).removingLastComponent().string + ":/usr/bin:/bin:/usr/sbin:/sbin"
        environment = ["PATH=\(path)", "BERTH_INIT=\(ShimWorld.initPath)", "HOME=\(folder)", "TMPDIR=\(folder)"]
        let config = """
            version = 2
            root = "\(folder)/root"
            state = "\(folder)/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            [grpc]
            address = "\(folder)/c.sock"
            [ttrpc]
            address = "\(folder)/c.sock.ttrpc"
            [plugins."io.containerd.internal.v1.opt"]
            path = "\(folder)/opt"
            """
        try Files.replace(folder + "/config.toml", with: Array(config.utf8), mode: 0o600)
        let null = try Files.open("/dev/null", O_RDWR)
        let log = try Files.open(folder + "/containerd.log", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
        pid = try Spawn.start(
            "/usr/bin/containerd", ["-c", folder + "/config.toml"], environment: environment,
            descriptors: [null.rawValue, log.rawValue, log.rawValue])
        try waitUntil("containerd answers") {
            try run("/usr/bin/ctr", ["-a", "\(folder)/c.sock", "version"]).status == 0
        }
        _ = try ctr("images", "import", try ContainerdWorld.archive.get())
    }

    deinit {
        // It ends its own mounts; shims that are left would outlive it.
        kill(pid, SIGTERM)
        for _ in 0..<500 where (try? PidFD.reapIfEnded(pid: pid)) == .some(nil) { usleep(10_000) }
    }

    /// The image as an archive, made once for all tests.
    private static let archive = Result<String, any Error> {
        let folder = "/tmp/shim-test-image.\(getpid())"
        atexit { _ = try? ContainerdWorld.run("/bin/rm", ["-rf", "/tmp/shim-test-image.\(getpid())"], []) }
        try makeImage(folder)
        return folder + "/image.tar"
    }

    private static func makeImage(_ folder: String) throws {
        try Files.makeDirectories(folder + "/image/bin", mode: 0o755)
        try Files.replace(folder + "/image/bin/busybox", with: try Files.read("/bin/busybox"), mode: 0o755)
        for name in ["sh", "sleep", "true", "echo", "cat", "tty"] { symlink("busybox", folder + "/image/bin/" + name) }
        for words in [
            ["/usr/bin/umoci", "init", "--layout", "\(folder)/oci"],
            ["/usr/bin/umoci", "new", "--image", "\(folder)/oci:b"],
            ["/usr/bin/umoci", "insert", "--image", "\(folder)/oci:b", "\(folder)/image", "/"],
            ["/usr/bin/umoci", "config", "--image", "\(folder)/oci:b", "--config.env", "PATH=/bin"],
            [
                "/usr/bin/skopeo", "copy", "oci:\(folder)/oci:b",
                "oci-archive:\(folder)/image.tar:\(ContainerdWorld.image)",
            ],
        ] {
            let outcome = try run(words[0], Array(words.dropFirst()), ["PATH=/usr/bin:/bin", "TMPDIR=\(folder)"])
            guard outcome.status == 0 else {
                throw BerthError(.internal, "\(words): \(String(decoding: outcome.errors, as: UTF8.self))")
            }
        }
    }

    func waitUntil(_ what: String, _ condition: () throws -> Bool) throws {
        for _ in 0..<500 {
            if try condition() { return }
            usleep(10_000)
        }
        throw BerthError(.deadlineExceeded, what)
    }

    @discardableResult
    func run(_ program: String, _ words: [String], input: String = "") throws -> ChildProcess.Outcome {
        try ContainerdWorld.run(program, words, environment, input: input)
    }

    @discardableResult
    private static func run(
        _ program: String, _ words: [String], _ environment: [String], input: String = ""
    ) throws -> ChildProcess.Outcome {
        try ChildProcess.run(
            ChildProcess.Command(
                program, words, environment: environment, input: Array(input.utf8), deadline: .seconds(30)))
    }

    /// A container's or task's command of `ctr`; its output and status.
    func ctr(_ words: String..., input: String = "") throws -> (text: String, status: Int32) {
        let outcome = try run("/usr/bin/ctr", ["-a", world.folder + "/c.sock"] + words, input: input)
        let text = String(decoding: outcome.output, as: UTF8.self)
        return (outcome.status == 0 ? text : text + String(decoding: outcome.errors, as: UTF8.self), outcome.status)
    }

    /// Runs a container to its end.
    func run(_ id: String, _ script: String, options: [String] = [], input: String = "") throws -> (String, Int32) {
        let words =
            ["run", "--rm", "--runtime", "io.containerd.berth.v1"] + options + [
                ContainerdWorld.image, id, "sh", "-c", script,
            ]
        let outcome = try run("/usr/bin/ctr", ["-a", world.folder + "/c.sock"] + words, input: input)
        return (String(decoding: outcome.output + outcome.errors, as: UTF8.self), outcome.status)
    }

    /// Starts a container that stays.
    func start(_ id: String, _ script: String) throws {
        let outcome = try ctr(
            "run", "-d", "--runtime", "io.containerd.berth.v1", ContainerdWorld.image, id, "sh", "-c", script)
        guard outcome.status == 0 else { throw BerthError(.internal, outcome.text) }
    }

    /// Shims that were started for this containerd.
    func shims() throws -> [Int32] {
        try Files.names(in: "/proc").compactMap { Int32($0) }.filter { pid in
            guard let words = try? Files.text("/proc/\(pid)/cmdline") else { return false }
            return words.contains(world.folder + "/c.sock") && words.contains("containerd-shim-berth")
        }
    }

    /// Nothing of any container is left: no shim, no bundle, no cgroup, no mount but containerd's own.
    func expectNothingLeft(_ ids: [String]) throws {
        try waitUntil("the shims end") { try shims().isEmpty }
        let bundles = world.folder + "/state/io.containerd.runtime.v2.task/default"
        try waitUntil("the bundles go: \(try Files.names(in: bundles))") { try Files.names(in: bundles).isEmpty }
        for id in ids { #expect(!world.cgroupExists("default/" + id)) }
        #expect(try !MountInfo.current().contains { $0.mountPoint.hasPrefix(world.folder) })
    }
}
