internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Which namespaces are made by the first clone, joined, or made later by the child.
struct NamespaceSteps: ~Copyable {
    /// Flags of the first clone.
    private(set) var cloneFlags: Namespaces = []
    /// Namespaces to join, in order; the user namespace comes last.
    private var joins: [Join] = []
    /// Made by the child itself once it is in its cgroup and user namespace.
    private var later: Namespaces = []
    private let makesUser: Bool
    private let joinsUser: Bool
    /// Whether the user's process is not the first one: then its pid is known only later.
    let needsFork: Bool
    private let timeOffsets: [String: OCITimeOffset]
    /// Whether the container has a user namespace other than the runtime's.
    var hasUser: Bool { makesUser || joinsUser }
    let makesNetwork: Bool
    let makesCgroup: Bool

    private final class Join {
        let type: OCINamespaceType
        let path: String
        let descriptor: Int32
        let owned: OwnedFD?
        init(_ type: OCINamespaceType, path: String, descriptor: Int32, owned: consuming OwnedFD?) {
            self.type = type
            self.path = path
            self.descriptor = descriptor
            self.owned = owned
        }
    }

    init(_ linux: OCILinux, pod: [OCINamespaceType: Int32]) throws(BerthError) {
        var new: Namespaces = []
        for namespace in linux.namespaces ?? [] {
            guard let path = namespace.path, !path.isEmpty else {
                new.formUnion(namespace.type.flag)
                continue
            }
            joins.append(try NamespaceSteps.open(namespace.type, path, pod))
        }
        // The runtime is privileged: it may enter all others before it becomes a user of the user namespace.
        joins.sort { $0.type != .user && $1.type == .user }
        makesUser = new.contains(.user)
        joinsUser = joins.contains { $0.type == .user }
        makesNetwork = new.contains(.network)
        makesCgroup = new.contains(.cgroup)
        timeOffsets = linux.timeOffsets ?? [:]
        let joinsPid = joins.contains { $0.type == .pid || $0.type == .time }
        needsFork = makesUser || joinsUser || joinsPid || new.contains(.time)
        // A network namespace takes two milliseconds: the child makes it while the runtime makes the cgroup.
        cloneFlags = needsFork ? [] : new.intersection([.pid, .mount])
        later = new.subtracting(.user).subtracting(cloneFlags)
    }

    private static func open(
        _ type: OCINamespaceType, _ path: String, _ pod: [OCINamespaceType: Int32]
    ) throws(BerthError) -> Join {
        if path.hasPrefix("pod://") {
            guard let descriptor = pod[type] else {
                throw BerthError(.invalidArgument, "namespace '\(path)': the pod has no \(type.rawValue) namespace")
            }
            return Join(type, path: path, descriptor: descriptor, owned: nil)
        }
        guard path.utf8.count < 4096 else {
            throw BerthError(
                .invalidArgument, "the path of the \(type.rawValue) namespace is \(path.utf8.count) bytes long")
        }
        let file = try attempting("open namespace '\(path)'") { () throws(Errno) in try Files.open(path, O_RDONLY) }
        let number = file.rawValue
        return Join(type, path: path, descriptor: number, owned: file)
    }

    /// Joins and makes what the first clone did not. The process joins its cgroup before it makes a cgroup namespace,
    /// whose root is where it is then; and before it loses the right to in a user namespace.
    borrowing func add(to plan: inout InitPlan, joinsCgroup: Bool) throws(BerthError) {
        if !joins.isEmpty || needsFork { try plan.add(.nonDumpable) }
        if joinsCgroup, needsFork { try plan.add(.cgroup) }
        for join in joins {
            try plan.add(.setns, fd: join.descriptor, join.path, a: join.type.flag.rawValue)
        }
        if makesUser { try plan.add(.unshare, "user namespace", a: Namespaces.user.rawValue) }
        if makesUser { try plan.add(.map, a: 1) }
        if joinsUser { try plan.add(.map, a: 0) }
        var rest = later
        if rest.contains(.time) {
            try plan.add(.unshare, "time namespace", a: Namespaces.time.rawValue)
            rest.subtract(.time)
            if !timeOffsets.isEmpty { try plan.add(.sync, a: SyncPoint.timeOffsets.rawValue) }
        }
        let own = needsFork ? rest : rest.subtracting(.cgroup)
        if !own.isEmpty { try plan.add(.unshare, "namespaces", a: own.rawValue) }
        if needsFork { return try plan.add(.fork) }
        if joinsCgroup { try plan.add(.cgroup) }
        if rest.contains(.cgroup) { try plan.add(.unshare, "cgroup namespace", a: Namespaces.cgroup.rawValue) }
    }

    /// What goes into `/proc/PID/timens_offsets`.
    static func offsetLines(_ offsets: [String: OCITimeOffset]) throws(BerthError) -> String {
        var text = ""
        for (clock, offset) in offsets.sorted(by: { $0.key < $1.key }) {
            guard clock == "monotonic" || clock == "boottime" else {
                throw BerthError(.invalidArgument, "linux.timeOffsets: clock '\(clock)' is unknown")
            }
            text += "\(clock) \(offset.secs ?? 0) \(offset.nanosecs ?? 0)\n"
        }
        return text
    }
}

/// Where the child waits for the runtime to do its part.
enum SyncPoint: UInt64 {
    case runtimeHooks = 1
    case timeOffsets = 2
    case containerHooks = 3
}
extension OCINamespaceType {
    var flag: Namespaces {
        switch self {
        case .pid: .pid
        case .network: .network
        case .mount: .mount
        case .ipc: .ipc
        case .uts: .uts
        case .user: .user
        case .cgroup: .cgroup
        case .time: .time
        }
    }

    /// The name under `/proc/PID/ns`.
    var procName: String {
        switch self {
        case .network: "net"
        case .mount: "mnt"
        default: rawValue
        }
    }
}
