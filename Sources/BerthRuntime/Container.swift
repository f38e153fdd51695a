package import BerthBase
package import BerthOCI
package import BerthSystem
internal import Glibc
internal import SystemPackage

/// One OCI container. Everything here is synchronous; the caller reaps the processes it gets.
package final class Container: Sendable {
    package let id: String
    package let environment: RuntimeEnvironment
    /// The specification it was made from.
    package let spec: OCISpec
    let record: ContainerRecord
    let directory: StateDirectory
    /// The cgroup; nil only if the host has none.
    let cgroup: Cgroup?

    init(_ record: ContainerRecord, spec: OCISpec, cgroup: Cgroup?, environment: RuntimeEnvironment) {
        id = record.id
        self.record = record
        self.spec = spec
        self.cgroup = cgroup
        self.environment = environment
        directory = StateDirectory(record.id, in: environment)
    }

    /// The pid of the container's first process, in the caller's pid namespace.
    package var pid: Int32 { record.pid }
    /// The bundle it was made from.
    package var bundle: String { record.bundle }

    /// The container with this ID from the state directory.
    ///
    /// - Throws: `notFound` if there is none.
    package static func load(_ id: String, in environment: RuntimeEnvironment) throws(BerthError) -> Container {
        try SpecCheck.checkID(id)
        let directory = StateDirectory(id, in: environment)
        let record = try directory.record(id: id)
        return Container(
            record, spec: try directory.spec(bundle: record.bundle), cgroup: try cgroup(of: record),
            environment: environment)
    }

    static func cgroup(of record: ContainerRecord) throws(BerthError) -> Cgroup? {
        guard let path = record.cgroupPath else { return nil }
        let host = try attempting("look at the host's cgroups") { () throws(Errno) in try CgroupHost.current() }
        return Cgroup(host: host, path: path)
    }

    /// Seconds since 1970 of the creation.
    package var created: Double { record.created }
    /// The root file system's path, or what it was assembled from.
    package var rootfs: String { record.rootfs }

    /// Whether the first process is there; a zombie is not, and neither is another process with its pid.
    package var isAlive: Bool {
        guard let status = ProcessStatus(record.pid) else { return false }
        return status.startTime == record.startTime && !status.isZombie
    }

    /// What the container is doing.
    package var status: OCIState.Status {
        guard isAlive else { return .stopped }
        if directory.awaitsStart { return .created }
        return cgroup?.isFrozen() == true ? .paused : .running
    }

    /// The state as `state` prints it.
    package func state() throws(BerthError) -> OCIState { state(as: status) }

    func state(as status: OCIState.Status) -> OCIState {
        OCIState(
            id: id, status: status, pid: status == .stopped ? 0 : record.pid, bundle: record.bundle,
            annotations: record.annotations)
    }

    /// Lets the created process execute the user's program.
    ///
    /// - Returns: warnings of poststart hooks that failed.
    /// - Throws: `failedPrecondition` unless it waits for that; the program's own failure to start.
    @discardableResult
    package func start() throws(BerthError) -> [String] {
        guard isAlive, directory.awaitsStart else {
            throw BerthError(.failedPrecondition, "start container '\(id)': it is \(status.rawValue), not created")
        }
        let state = try OCIJSON.encode(state(as: .created))
        let channel = try attempting("start container '\(id)'") { () throws(Errno) in
            let folder = try Files.directory(directory.path)
            let channel = try Messages.connect(to: StateDirectory.startSocket, below: folder.rawValue)
            try Files.remove(StateDirectory.startSocket, at: folder.rawValue)
            try Messages.send(state, on: channel.rawValue)
            return channel
        }
        FaultPoint.hit("runtime.after-start-word")
        while true {
            let bytes = try attempting("start container '\(id)'") { () throws(Errno) in
                try Messages.receive(on: channel.rawValue, limit: 4096).bytes
            }
            guard let message = InitMessage(bytes) else { break }
            if message.kind == 1 { throw message.error.during("start container '\(id)'") }
        }
        return runPoststartHooks()
    }

    /// For those who let `run` start the process: poststart hooks come after it. What failed comes back.
    package func runPoststartHooks() -> [String] {
        Hooks.runAll(spec.hooks?.poststart, "poststart", state: state(as: .running))
    }

    /// Sends a signal to the first process, or to all in the cgroup. With `all`, an ended container is success.
    package func kill(signal: Int32, all: Bool = false) throws(BerthError) {
        if all, let cgroup {
            return try attempting("signal all of container '\(id)'") { () throws(Errno) in
                try cgroup.signalAll(signal)
            }
        }
        guard isAlive else { throw BerthError(.notFound, "kill container '\(id)': its process has ended") }
        try attempting("kill container '\(id)'") { () throws(Errno) in
            let process = try PidFD.open(record.pid)
            // Looked at again behind the pidfd: the pid may have been given to another process meanwhile.
            guard ProcessStatus(record.pid)?.startTime == record.startTime else { throw .noSuchProcess }
            try PidFD.signal(process.rawValue, signal)
        }
    }

    /// Freezes every process of the container.
    package func pause() throws(BerthError) {
        guard status == .running || status == .created else {
            throw BerthError(.failedPrecondition, "pause container '\(id)': it is \(status.rawValue)")
        }
        try freeze(true)
    }

    /// Lets a paused container go on.
    package func resume() throws(BerthError) {
        guard status == .paused else {
            throw BerthError(.failedPrecondition, "resume container '\(id)': it is \(status.rawValue), not paused")
        }
        try freeze(false)
    }

    private func freeze(_ frozen: Bool) throws(BerthError) {
        guard let cgroup else { throw BerthError(.failedPrecondition, "container '\(id)' has no cgroup") }
        try attempting("\(frozen ? "pause" : "resume") container '\(id)'") { () throws(Errno) in
            try cgroup.freeze(frozen)
        }
    }

    /// Changes limits of a running container; what is absent stays.
    package func update(_ resources: OCIResources) throws(BerthError) {
        guard let cgroup else { throw BerthError(.failedPrecondition, "container '\(id)' has no cgroup") }
        try CgroupResources(cgroup: cgroup, resources: resources).apply(updating: true)
    }

    /// The processes in the container's cgroup, by the caller's pid namespace.
    package func pids() throws(BerthError) -> [Int32] {
        guard let cgroup else { return isAlive ? [record.pid] : [] }
        return try attempting("list processes of container '\(id)'") { () throws(Errno) in try cgroup.processes() }
    }

    /// What the container has used.
    package func stats() throws(BerthError) -> CgroupStats {
        guard let cgroup else { throw BerthError(.failedPrecondition, "container '\(id)' has no cgroup") }
        return cgroup.stats()
    }

    /// Removes what is left of a stopped container; with `force` a running one is killed first.
    ///
    /// - Returns: warnings of poststop hooks that failed.
    @discardableResult
    package func delete(force: Bool = false) throws(BerthError) -> [String] {
        if isAlive {
            guard force || status == .created else {
                throw BerthError(.failedPrecondition, "delete container '\(id)': it is \(status.rawValue), not stopped")
            }
            if cgroup?.isFrozen() == true { try freeze(false) }
            try end()
        }
        if let cgroup {
            try attempting("remove the cgroup of container '\(id)'") { () throws(Errno) in
                // Descendants that survived the first process (no pid namespace of its own) end with the container.
                if try !cgroup.processes().isEmpty { try cgroup.signalAll(SIGKILL) }
                try cgroup.remove()
            }
        }
        FaultPoint.hit("runtime.after-cgroup-removal")
        let warnings = Hooks.runAll(spec.hooks?.poststop, "poststop", state: state(as: .stopped))
        try directory.remove()
        return warnings
    }

    /// The longest wait for a killed process to end.
    static let killPatience: Int32 = 10_000

    private func end() throws(BerthError) {
        let gone = try attempting("kill container '\(id)'") { () throws(Errno) in
            guard let process = try? PidFD.open(record.pid), isAlive else { return true }
            try PidFD.signal(process.rawValue, SIGKILL)
            return try PidFD.ended(process.rawValue, within: Container.killPatience)
        }
        guard gone else {
            throw BerthError(.deadlineExceeded, "kill container '\(id)': it has not ended after SIGKILL")
        }
    }
}
