internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// What is kept of a container between calls, as `state.json` in its directory below the state root.
struct ContainerRecord: Codable, Sendable {
    var id: String
    var bundle: String
    var pid: Int32
    /// When the process started, in clock ticks since the boot: the same pid at another time is another process.
    var startTime: UInt64
    /// Seconds since 1970.
    var created: Double
    /// The cgroup's path below each hierarchy; nil if the container has none of its own.
    var cgroupPath: String?
    var annotations: [String: String]?
    /// Whether the rootfs was assembled from mounts.
    var rootfs: String
    var noNewKeyring: Bool
}

/// One container's directory.
struct StateDirectory: Sendable {
    let path: String

    init(_ id: String, in environment: RuntimeEnvironment) {
        path = environment.stateRoot.string + "/" + id
    }

    static let startSocket = "start.sock"

    /// Makes the directory.
    ///
    /// - Throws: `alreadyExists` if there is a container of this name.
    func make(root: FilePath, id: String) throws(BerthError) {
        try attempting("make the state root '\(root)'") { () throws(Errno) in
            try Files.makeDirectories(root.string, mode: 0o711)
        }
        // SAFETY: the string lives through the call.
        if unsafe mkdir(path, 0o711) == 0 { return }
        let error = Errno(rawValue: errno)
        if error == .fileExists { throw BerthError(.alreadyExists, "container '\(id)' exists already") }
        throw BerthError(error, "make '\(path)'")
    }

    func write(_ record: ContainerRecord) throws(BerthError) {
        let bytes = try OCIJSON.encode(record)
        try attempting("write '\(path)/state.json'") { () throws(Errno) in
            try Files.replace(path + "/state.json", with: bytes, mode: 0o600)
        }
    }

    func write(_ spec: OCISpec, json: [UInt8]?) throws(BerthError) {
        let bytes: [UInt8]
        if let json { bytes = json } else { bytes = try spec.json() }
        try attempting("write '\(path)/config.json'") { () throws(Errno) in
            try Files.replace(path + "/config.json", with: bytes, mode: 0o600)
        }
    }

    func record(id: String) throws(BerthError) -> ContainerRecord {
        let bytes: [UInt8]
        do throws(Errno) { bytes = try Files.read(path + "/state.json") } catch {
            if error == .noSuchFileOrDirectory { throw BerthError(.notFound, "container '\(id)' does not exist") }
            throw BerthError(error, "read the state of container '\(id)'")
        }
        return try OCIJSON.decode(ContainerRecord.self, bytes, as: "state.json")
    }

    /// The specification that was kept here, or else the bundle's.
    func spec(bundle: String) throws(BerthError) -> OCISpec {
        if let kept = try? Files.read(path + "/config.json") { return try OCISpec(json: kept) }
        let bytes = try attempting("read '\(bundle)/config.json'") { () throws(Errno) in
            try Files.read(bundle + "/config.json")
        }
        return try OCISpec(json: bytes)
    }

    /// Whether the process still waits for `start`.
    var awaitsStart: Bool { (try? Files.status(path + "/" + StateDirectory.startSocket)) != nil }

    func remove() throws(BerthError) {
        try attempting("remove '\(path)'") { () throws(Errno) in
            let names: [String]
            do throws(Errno) { names = try Files.names(in: path) } catch {
                if error == .noSuchFileOrDirectory { return }
                throw error
            }
            for name in names { try Files.remove(path + "/" + name) }
            try Files.remove(path, flags: AT_REMOVEDIR)
        }
    }
}

/// What procfs tells of a process.
struct ProcessStatus {
    let startTime: UInt64
    let isZombie: Bool

    /// nil if there is no such process.
    init?(_ pid: Int32) {
        guard pid > 0, let text = try? Files.text("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else {
            return nil
        }
        // The command's name may hold spaces and parentheses: fields are counted from behind it.
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let start = UInt64(fields[19]) else { return nil }
        startTime = start
        isZombie = fields[0] == "Z" || fields[0] == "X"
    }
}

/// Tells one process from a later one with the same pid.
package enum ProcessIdentity {
    /// When the process started, in clock ticks since the boot; nil if there is none.
    package static func startTime(of pid: Int32) -> UInt64? { ProcessStatus(pid)?.startTime }
}
