internal import BerthBase
package import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension ShimBundle {
    /// The exits that the bundle's shim has recorded.
    package func recordedExits() -> [ShimExit] { ExitRecord.parse(read(ExitRecord.file) ?? []) }

    /// The last words of our own shim.
    func shimLogTail() -> String {
        String(decoding: (read("shim.log") ?? []).suffix(2048), as: UTF8.self)
    }

    /// The cgroup of the bundle's specification; nil when it names none, or one that is not below the root.
    package var cgroupPath: String? {
        guard let spec = read("config.json"), let json = try? JSONValue(parsing: spec) else { return nil }
        let named = json["linux"]?["cgroupsPath"]?.string ?? ""
        let path = named.isEmpty ? "/" + id : named
        let parts = path.split(separator: "/")
        // `slice:prefix:name` is systemd's; its runtime cleans up by itself.
        guard !parts.isEmpty, !parts.contains(".."), !path.contains(":") else { return nil }
        return path
    }

    /// Kills what runs in the bundle's cgroup and unmounts its rootfs: nobody else does once the shim is dead.
    ///
    /// - Throws: `internal` when a process survives.
    package func killRemains() throws {
        if let path = cgroupPath, let host = try? CgroupHost.current() {
            let cgroup = Cgroup(host: host, path: path)
            if cgroup.exists {
                try attempting(to: "kill what is left in cgroup '\(path)'") { () throws(Errno) in
                    try cgroup.signalAll(SIGKILL)
                }
            }
        }
        unmountRootfs()
    }

    /// Removes the bundle's cgroup once it is empty; one that is gone is success.
    package func removeCgroup() throws {
        guard let path = cgroupPath, let host = try? CgroupHost.current() else { return }
        let cgroup = Cgroup(host: host, path: path)
        guard cgroup.exists else { return }
        try attempting(to: "remove cgroup '\(path)'") { () throws(Errno) in try cgroup.remove() }
    }
}

private func attempting(to what: String, _ body: () throws(Errno) -> Void) throws {
    do throws(Errno) { try body() } catch { throw BerthError(.internal, what, cause: error) }
}
