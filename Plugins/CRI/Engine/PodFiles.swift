internal import BerthArchive
internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The engine's own files: what it mounts into containers, volumes of images, logs of pods without a log directory.
///
/// `STATE/pods/ID` (hosts, resolv.conf, hostname, shm), `STATE/containers/ID` (stdin), `ROOT/volumes/ID`,
/// `ROOT/logs/POD`.
struct PodFiles: Sendable {
    let root: FilePath
    let state: FilePath

    /// Resolver files of hosts are copied up to this size.
    static let maxHostFile = 1 << 20
    /// Bytes of a pod's shared memory.
    static let sharedMemorySize = 64 << 20

    func paths(of pod: PodID) -> PodFilePaths { PodFilePaths(directory: state.appending("pods/\(pod)").string) }
    func logDirectory(of pod: PodID) -> String { root.appending("logs/\(pod)").string }
    func volumes(of container: ContainerID) -> String { root.appending("volumes/\(container)").string }
    func stdin(of container: ContainerID) -> String { state.appending("containers/\(container)/stdin").string }

    // MARK: pods

    /// Makes what the pod's containers will share. The hosts file is written once the addresses are known.
    func make(_ spec: PodSpec, id: PodID, hostname: String) async throws {
        let paths = paths(of: id)
        try await Blocking.run {
            try attempting("make the files of pod '\(id)'") { () throws(Errno) in
                try Files.makeDirectories(paths.directory, mode: 0o700)
                try Self.write(Self.resolvConf(spec.dns), to: paths.resolvConf)
                try Self.write(Array((hostname + "\n").utf8), to: paths.hostname)
                if spec.namespaces.ipc == .pod { try Self.mountSharedMemory(at: paths.sharedMemory) }
            }
        }
    }

    func writeHosts(_ spec: PodSpec, id: PodID, hostname: String, addresses: [String]) async throws {
        let path = paths(of: id).hosts
        let text: [UInt8]
        if spec.namespaces.network == .node {
            text = try await Blocking.run { Self.hostFile("/etc/hosts") }
        } else {
            text = Array(Self.hosts(hostname, addresses).utf8)
        }
        try await Blocking.run {
            try attempting("write '\(path)'") { () throws(Errno) in try Self.write(text, to: path) }
        }
    }

    /// Removes whatever there is of the pod's.
    func remove(_ id: PodID) async throws {
        let shared = paths(of: id).sharedMemory
        let folders = [state.appending("pods"), root.appending("logs")]
        try await Blocking.run {
            try attempting("remove the files of pod '\(id)'") { () throws(Errno) in
                // EINVAL: nothing is mounted there (any more); ENOENT: it never was.
                do throws(Errno) { try Mounts.detach(shared) } catch {
                    guard error == .invalidArgument || error == .noSuchFileOrDirectory else { throw error }
                }
                for folder in folders { try Self.remove(id.rawValue, in: folder) }
            }
        }
    }

    static func hosts(_ hostname: String, _ addresses: [String]) -> String {
        var text = """
            127.0.0.1\tlocalhost
            ::1\tlocalhost ip6-localhost ip6-loopback
            fe00::0\tip6-localnet
            fe00::0\tip6-mcastprefix
            fe00::1\tip6-allnodes
            fe00::2\tip6-allrouters

            """
        for address in addresses { text += "\(address)\t\(hostname)\n" }
        return text
    }

    static func resolvConf(_ dns: PodDNS?) -> [UInt8] {
        guard let dns, dns != PodDNS() else { return hostFile("/etc/resolv.conf") }
        var text = ""
        for server in dns.servers { text += "nameserver \(server)\n" }
        if !dns.searches.isEmpty { text += "search \(dns.searches.joined(separator: " "))\n" }
        if !dns.options.isEmpty { text += "options \(dns.options.joined(separator: " "))\n" }
        return Array(text.utf8)
    }

    /// A host's file, or nothing where there is none.
    private static func hostFile(_ path: String) -> [UInt8] { (try? Files.read(path, limit: maxHostFile)) ?? [] }

    private static func write(_ bytes: [UInt8], to path: String) throws(Errno) {
        // In place: a file that is bound into containers must stay the same file.
        let file = try Files.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        if fchmod(file.rawValue, 0o644) != 0 { throw Errno(rawValue: errno) }
        try Files.write(bytes, to: file.rawValue)
    }

    private static func mountSharedMemory(at path: String) throws(Errno) {
        try Files.makeDirectories(path, mode: 0o700)
        let context = try FileSystemContext("tmpfs")
        try context.set("source", "shm")
        try context.set("size", String(sharedMemorySize))
        try context.set("mode", "1777")
        let mount = try context.mount([.noSuid, .noDev, .noExec])
        try Mounts.attach(mount.rawValue, to: path)
    }

    private static func remove(_ name: String, in folder: FilePath) throws(Errno) {
        do throws(Errno) {
            let directory = try Files.open(folder.string, O_RDONLY | O_DIRECTORY)
            try TreeRemoval.remove(name, in: directory.rawValue)
        } catch {
            guard error == .noSuchFileOrDirectory else { throw error }
        }
    }

    // MARK: containers

    /// Makes the FIFO of a standard input that stays open.
    func makeStdin(of container: ContainerID) async throws -> String {
        let path = stdin(of: container)
        let folder = state.appending("containers/\(container)").string
        try await Blocking.run {
            try attempting("make '\(path)'") { () throws(Errno) in
                try Files.makeDirectories(folder, mode: 0o700)
                if mkfifo(path, 0o600) != 0, errno != EEXIST { throw Errno(rawValue: errno) }
            }
        }
        return path
    }

    /// Makes the image's volumes as directories with what the image has there. Sources are resolved in the image's root
    /// and nowhere else (CVE-2022-23648).
    func makeVolumes(_ targets: [String], of container: ContainerID, rootfs: [Mount]) async throws -> [VolumeMount] {
        if targets.isEmpty { return [] }
        let folder = volumes(of: container)
        return try await Blocking.run {
            let tree = try RootfsView.open(rootfs)
            var made: [VolumeMount] = []
            for (index, target) in targets.enumerated() {
                let path = "\(folder)/\(index)"
                try attempting("make volume '\(target)'") { () throws(Errno) in
                    try Files.makeDirectories(folder, mode: 0o700)
                    try Files.makeDirectories(path, mode: 0o755)
                    if chmod(path, 0o755) != 0 { throw Errno(rawValue: errno) }
                }
                try RootfsView.withDirectory(target, below: tree.rawValue) { source in
                    try TreeCopy.copy(source, to: path)
                }
                made.append(VolumeMount(target: PathCheck.normalized(target), source: path))
            }
            return made
        }
    }

    func removeContainer(_ id: ContainerID) async throws {
        let folders = [state.appending("containers"), root.appending("volumes")]
        try await Blocking.run {
            try attempting("remove the files of container '\(id)'") { () throws(Errno) in
                for folder in folders { try Self.remove(id.rawValue, in: folder) }
            }
        }
    }

    /// Makes the directories of a log; they may lie on a path of others.
    static func makeLogDirectory(of path: String) async throws {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
        let folder = String(path[..<slash])
        try await Blocking.run(on: Blocking.foreign, "make log directory '\(folder)'", deadline: .seconds(10)) {
            try attempting("make log directory '\(folder)'") { () throws(Errno) in
                try Files.makeDirectories(folder, mode: 0o755)
            }
        }
    }
}
