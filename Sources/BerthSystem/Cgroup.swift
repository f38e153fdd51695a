internal import BerthBase
internal import Glibc
package import SystemPackage

/// One cgroup: a directory of the v2 tree, or one of the same path in each v1 hierarchy.
package struct Cgroup: Sendable {
    package let host: CgroupHost
    /// The path below each hierarchy's root, with a leading slash.
    package let path: String

    package init(host: CgroupHost, path: String) {
        self.host = host
        self.path = path.hasPrefix("/") ? path : "/" + path
    }

    /// All directories, one a hierarchy.
    package var directories: [String] {
        host.unified.map { [$0 + path] } ?? host.hierarchies.map { $0.mountPoint + path }
    }

    /// The directory that has a controller's files; on v2 always the one there is.
    package func directory(of controller: String) -> String? {
        if let unified = host.unified { return unified + path }
        return host.hierarchies.first { $0.controllers.contains(controller) }.map { $0.mountPoint + path }
    }

    /// Whether any of the directories exists.
    package var exists: Bool {
        directories.contains { directory in (try? Files.directory(directory)) != nil }
    }

    /// Makes the directories and those above them.
    package func create() throws(Errno) {
        for directory in directories { try Files.makeDirectories(directory, mode: 0o755) }
        if host.isV2 { try enableControllers() } else { try inheritCpuset() }
    }

    /// On v2 a controller serves a cgroup only if every ancestor passes it on.
    private func enableControllers() throws(Errno) {
        guard let root = host.unified else { return }
        let wanted = try Files.text(root + "/cgroup.controllers").split(separator: " ")
        var directory = root
        for part in path.split(separator: "/") {
            let control = directory + "/cgroup.subtree_control"
            let have = Set((try? Files.text(control))?.split(separator: " ").map(String.init) ?? [])
            for controller in wanted where !have.contains(String(controller)) {
                // One at a time: a controller that a busy ancestor refuses must not cost the others.
                try? Files.set(control, to: "+\(controller)")
            }
            directory += "/" + part
        }
    }

    /// A v1 cpuset that names no CPU or memory node takes no process: each level copies from the one above.
    private func inheritCpuset() throws(Errno) {
        guard let root = host.hierarchies.first(where: { $0.controllers.contains("cpuset") })?.mountPoint else {
            return
        }
        var above = root
        for part in path.split(separator: "/") {
            let directory = above + "/" + part
            for file in ["cpuset.cpus", "cpuset.mems"] where try Files.text("\(directory)/\(file)").isEmpty {
                try Files.set("\(directory)/\(file)", to: Files.text("\(above)/\(file)"))
            }
            above = directory
        }
    }

    /// Descriptors of every v1 hierarchy's `tasks`, to which a process writes "0" to move itself.
    package func taskFiles() throws(Errno) -> [Int32] {
        var files: [Int32] = []
        for directory in directories { files.append(try Files.open(directory + "/tasks", O_WRONLY).release()) }
        return files
    }

    /// The processes in the cgroup and those below it.
    package func processes() throws(Errno) -> [Int32] {
        guard let directory = directory(of: "pids") ?? directory(of: "freezer") ?? directories.first else { return [] }
        return try Cgroup.processes(below: directory)
    }

    private static func processes(below directory: String) throws(Errno) -> [Int32] {
        var all: [Int32] = []
        let text: String
        do { text = try Files.text(directory + "/cgroup.procs") } catch {
            if error == .noSuchFileOrDirectory || error.rawValue == ENODEV { return [] }
            // A threaded v2 cgroup has no processes of its own.
            if error == .notSupported { return [] }
            throw error
        }
        for line in text.split(separator: "\n") { if let pid = Int32(line) { all.append(pid) } }
        for child in try subgroups(of: directory) { all += try processes(below: child) }
        return all
    }

    private static func subgroups(of directory: String) throws(Errno) -> [String] {
        let names: [String]
        do { names = try Files.names(in: directory) } catch {
            if error == .noSuchFileOrDirectory { return [] }
            throw error
        }
        return names.map { directory + "/" + $0 }.filter { (try? Files.status($0).isDirectory) == true }
    }

    /// Sends a signal to every process, again while new ones appear; SIGKILL does not return before they are gone or
    /// two seconds have passed.
    package func signalAll(_ signal: Int32) throws(Errno) {
        if signal == SIGKILL, let unified = host.unified,
            (try? Files.set(unified + path + "/cgroup.kill", to: "1")) != nil
        {
            return
        }
        var signaled: Set<Int32> = []
        for _ in 0..<200 {
            let found = try processes().filter { signal == SIGKILL || !signaled.contains($0) }
            if found.isEmpty { return }
            for pid in found {
                signaled.insert(pid)
                if let process = try? PidFD.open(pid) { try? PidFD.signal(process.rawValue, signal) }
            }
            if signal == SIGKILL { usleep(10_000) }
        }
    }

    /// The longest time that removal waits for processes that are on their way out.
    package static let removalPatience = Duration.seconds(3)

    /// Removes the directories and all below them. A directory that is gone is success.
    package func remove() throws(Errno) {
        for directory in directories { try Cgroup.remove(directory) }
    }

    private static func remove(_ directory: String) throws(Errno) {
        let end = ContinuousClock.now + removalPatience
        var pause: UInt32 = 500
        while true {
            // SAFETY: the string lives through the call.
            if unsafe rmdir(directory) == 0 || errno == ENOENT { return }
            let error = Errno(rawValue: errno)
            guard error == .resourceBusy || error == .directoryNotEmpty else { throw error }
            for child in try subgroups(of: directory) { try remove(child) }
            guard ContinuousClock.now < end else { throw error }
            usleep(pause)
            pause = min(pause * 2, 20_000)
        }
    }

    /// Freezes or thaws, and waits until the kernel says it is so.
    ///
    /// - Throws: `timedOut` after two seconds.
    package func freeze(_ frozen: Bool) throws(Errno) {
        let end = ContinuousClock.now + .seconds(2)
        if let unified = host.unified {
            try Files.set(unified + path + "/cgroup.freeze", to: frozen ? "1" : "0")
            while try !Files.text(unified + path + "/cgroup.events").contains("frozen \(frozen ? 1 : 0)") {
                guard ContinuousClock.now < end else { throw .timedOut }
                usleep(1000)
            }
            return
        }
        guard let directory = directory(of: "freezer") else { throw .notSupported }
        let state = directory + "/freezer.state"
        repeat {
            // FREEZING can stick when a process forks meanwhile: writing again helps it along.
            try Files.set(state, to: frozen ? "FROZEN" : "THAWED")
            if try Files.text(state) == (frozen ? "FROZEN" : "THAWED") { return }
            usleep(1000)
        } while ContinuousClock.now < end
        throw .timedOut
    }

    /// Whether the cgroup is frozen by its own switch.
    package func isFrozen() -> Bool {
        if let unified = host.unified { return (try? Files.text(unified + path + "/cgroup.freeze")) == "1" }
        guard let directory = directory(of: "freezer") else { return false }
        return (try? Files.text(directory + "/freezer.self_freezing")) == "1"
    }
}
