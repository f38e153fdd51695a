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

    /// Kills shims of this bundle that nobody is connected to: a start that was cut short may still have made one.
    /// Ours has the bundle among its arguments, those of others work in it.
    func killStrays() {
        for _ in 0..<20 {
            let strays = ((try? Files.names(in: "/proc")) ?? []).compactMap { Int32($0) }.filter(isStray)
            if strays.isEmpty { return }
            for pid in strays { if let process = try? PidFD.open(pid) { try? PidFD.signal(process.rawValue, SIGKILL) } }
            usleep(5000)
        }
    }

    private func isStray(_ pid: Int32) -> Bool {
        guard let line = try? Files.read("/proc/\(pid)/cmdline", limit: 65536) else { return false }
        let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        guard words.first?.split(separator: "/").last?.hasPrefix("containerd-shim") == true else { return false }
        if words.contains(path) { return true }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/\(pid)/cwd", &buffer, buffer.count - 1)
        return count > 0 && String(decoding: buffer[0..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) == path
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
