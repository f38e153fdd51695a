internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The pod of this shim: its shared namespaces and cgroup. Belongs to the control loop.
final class Sandbox {
    enum Phase: Hashable {
        case created, starting
        case ready(Timestamp)
        case stopping
        case stopped(Timestamp)
    }

    /// The most calls that wait for its end.
    static let maxWaiters = 256

    let id: String
    let spec: OCISpec
    let netnsPath: String
    var phase = Phase.created
    var pod: Pod?
    /// The first process of the pod's pid namespace; 0 if it has none, or it has ended.
    var reaper: Int32 = 0
    var createdAt: Timestamp?
    var waiters: [RPCCall] = []

    init(id: String, spec: OCISpec, netnsPath: String) {
        self.id = id
        self.spec = spec
        self.netnsPath = netnsPath
    }

    private var waitingForPhase: [() -> Void] = []

    /// Calls `body` when the start or stop under way is over.
    func whenSettled(_ body: @escaping () -> Void) { waitingForPhase.append(body) }

    func settled() {
        let bodies = waitingForPhase
        waitingForPhase = []
        for body in bodies { body() }
    }

    /// A process that stands for the sandbox: the reaper, or this shim.
    var pid: Int32 { reaper > 0 ? reaper : getpid() }

    var isReady: Bool {
        if case .ready = phase { return true }
        return false
    }

    /// The descriptors of its namespaces, for containers.
    var namespaces: [OCINamespaceType: Int32] { pod?.namespaces ?? [:] }

    /// Points namespaces that are named by our process to the descriptors that hold them.
    func resolveNamespaces(of spec: inout OCISpec) {
        guard let list = spec.linux?.namespaces else { return }
        spec.linux?.namespaces = list.map { namespace in
            guard let path = namespace.path, path.hasPrefix("/proc/\(pid)/ns/"), namespaces[namespace.type] != nil
            else {
                return namespace
            }
            return OCINamespace(namespace.type, path: "pod://\(namespace.type.rawValue)")
        }
    }

    /// What is remembered on disk, for `delete` to find after a crash.
    var record: SandboxRecord {
        SandboxRecord(
            id: id, cgroupPath: pod?.ownedCgroupPath, reaper: reaper,
            reaperStart: reaper > 0 ? ProcessIdentity.startTime(of: reaper) : nil)
    }
}

/// The file `sandbox.json` in the sandbox's bundle.
struct SandboxRecord: Codable {
    static let file = "sandbox.json"

    var id: String
    var cgroupPath: String?
    var reaper: Int32
    /// When the reaper started: the same pid at another time is another process.
    var reaperStart: UInt64?

    /// Kills the reaper, and with it all of its pid namespace, and waits for its end.
    func endReaper() throws(BerthError) {
        guard reaper > 0, let process = try? PidFD.open(reaper) else { return }
        guard let reaperStart, ProcessIdentity.startTime(of: reaper) == reaperStart else { return }
        try attempting("kill the reaper of sandbox '\(id)'") { () throws(Errno) in
            try PidFD.signal(process.rawValue, Signal.kill)
            _ = try PidFD.ended(process.rawValue, within: Int32(Shim.stopPatience.components.seconds * 1000))
        }
    }
}
