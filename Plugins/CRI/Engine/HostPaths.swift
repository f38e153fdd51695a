internal import BerthBase
internal import BerthOCI
internal import BerthServices
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// What a request's paths are on this host. They belong to others and may hang: each look has a deadline of its own.
enum HostPaths {
    /// How long one path may take.
    static let patience: Duration = .seconds(20)
    /// Files of a seccomp profile are at most this long.
    static let maxProfile = 4 << 20

    /// Resolves the sources of mounts, makes missing ones as directories, checks what propagation needs of them.
    static func mounts(_ mounts: [VolumeMount]) async throws -> [VolumeMount] {
        var all: [VolumeMount] = []
        for var mount in mounts {
            let asked = mount
            mount.source = try await Blocking.run(
                on: Blocking.foreign, "look at volume '\(asked.source)'", deadline: patience
            ) { try source(asked) }
            all.append(mount)
        }
        return all
    }

    private static func source(_ mount: VolumeMount) throws -> String {
        try attempting("make volume '\(mount.source)'") { () throws(Errno) in
            // One that is there is taken as it is, whatever it is.
            if access(mount.source, F_OK) != 0 { try Files.makeDirectories(mount.source, mode: 0o755) }
        }
        let resolved = try attempting("resolve volume '\(mount.source)'") { () throws(Errno) -> String in
            guard let path = realpath(mount.source, nil) else { throw Errno(rawValue: errno) }
            defer { free(path) }
            return String(cString: path)
        }
        if mount.propagation != .private { try checkShared(resolved, mount) }
        return resolved
    }

    /// Events reach a container only from a shared (or, to it, a slave) mount.
    private static func checkShared(_ path: String, _ mount: VolumeMount) throws {
        let table = try attempting("read the mount table") { () throws(Errno) in try MountInfo.current() }
        // The deepest mount point above the path; of several on one point the last one is on top.
        var deepest: MountInfo?
        for info in table {
            let holds = info.mountPoint == "/" || path == info.mountPoint || path.hasPrefix(info.mountPoint + "/")
            if holds, info.mountPoint.utf8.count >= deepest?.mountPoint.utf8.count ?? 0 { deepest = info }
        }
        let kinds = deepest?.propagation ?? []
        let shared = kinds.contains { $0.hasPrefix("shared:") }
        let slave = kinds.contains { $0.hasPrefix("master:") }
        guard shared || (slave && mount.propagation == .hostToContainer) else {
            throw BerthError(
                .invalidArgument,
                "mounts: '\(mount.source)' is mounted on a \(deepest?.mountPoint ?? "/") that is not shared, "
                    + "which propagation to '\(mount.target)' needs")
        }
    }

    // MARK: devices

    static func devices(_ mappings: [DeviceMapping]) async throws -> [HostDevice] {
        var all: [HostDevice] = []
        for mapping in mappings {
            all += try await Blocking.run(
                on: Blocking.foreign, "look at device '\(mapping.source)'", deadline: patience
            ) { try devices(mapping) }
        }
        return all
    }

    private static func devices(_ mapping: DeviceMapping) throws -> [HostDevice] {
        let path = try attempting("resolve device '\(mapping.source)'") { () throws(Errno) -> String in
            guard let path = realpath(mapping.source, nil) else { throw Errno(rawValue: errno) }
            defer { free(path) }
            return String(cString: path)
        }
        let status = try attempting("look at device '\(path)'") { () throws(Errno) in try Files.status(path) }
        if let device = device(at: PathCheck.normalized(mapping.target), status) {
            return [HostDevice(device: device, access: mapping.permissions)]
        }
        guard status.isDirectory else {
            throw BerthError(.invalidArgument, "devices: '\(mapping.source)' is no device and no directory")
        }
        var found: [HostDevice] = []
        try walk(path, as: PathCheck.normalized(mapping.target), skipping: [], depth: 0) { device in
            found.append(HostDevice(device: device, access: mapping.permissions))
        }
        guard !found.isEmpty else {
            throw BerthError(.invalidArgument, "devices: there is no device below '\(mapping.source)'")
        }
        return found
    }

    /// Every device below /dev, for privileged containers.
    static func allDevices() async throws -> [HostDevice] {
        try await Blocking.run {
            var found: [HostDevice] = []
            let skipped: Set<String> = ["/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/console", "/dev/ptmx"]
            try walk("/dev", as: "/dev", skipping: skipped, depth: 0) { device in
                found.append(HostDevice(device: device, access: "rwm"))
            }
            return found
        }
    }

    private static func walk(
        _ path: String, as target: String, skipping: Set<String>, depth: Int, _ take: (OCIDevice) -> Void
    ) throws {
        guard depth < 8, let names = try? Files.names(in: path) else { return }
        for name in names.sorted() where !skipping.contains("\(path)/\(name)") && !name.hasPrefix(".") {
            // A device may go while its directory is read.
            guard let status = try? Files.status("\(path)/\(name)") else { continue }
            if let device = device(at: "\(target)/\(name)", status) {
                take(device)
            } else if status.isDirectory {
                try walk("\(path)/\(name)", as: "\(target)/\(name)", skipping: skipping, depth: depth + 1, take)
            }
        }
    }

    private static func device(at path: String, _ status: FileStatus) -> OCIDevice? {
        guard status.isCharacterDevice || status.isBlockDevice else { return nil }
        var device = OCIDevice(
            path: path, type: status.isCharacterDevice ? "c" : "b", major: Int64(status.deviceMajor),
            minor: Int64(status.deviceMinor), fileMode: status.mode & 0o7777)
        device.uid = status.uid
        device.gid = status.gid
        return device
    }

    // MARK: profiles

    static func seccompProfile(at path: String) async throws -> OCISeccomp {
        let bytes = try await Blocking.run(on: Blocking.foreign, "read seccomp profile '\(path)'", deadline: patience) {
            try attempting("read seccomp profile '\(path)'") { () throws(Errno) in
                try Files.read(path, limit: maxProfile)
            }
        }
        return try OCIJSON.decode(OCISeccomp.self, bytes, as: "seccomp profile '\(path)'")
    }
}
