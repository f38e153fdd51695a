internal import BerthBase
internal import BerthSystem
internal import SystemPackage

/// What `berth-init` is to do, step by step, in the flat form it reads. The operations' numbers and arguments are
/// shared with Sources/berth-init/plan.h; a change of either is a new `version`.
struct InitPlan: ~Copyable {
    static let version: UInt32 = 1
    private static let magic: UInt32 = 0x4245_5249

    /// One kind of step. The cases are in the order of plan.h.
    enum Operation: UInt32 {
        case nonDumpable = 1
        case cgroup, setns, unshare, map, fork, sync, propagation, rootfs, mountFS, mountFD, mknod, symlink, console
        case mask, readonly, pivot, setAttributes, procfs, procWrite, hostname, domainname, keyring, rlimit, setsid
        case stdio, controllingTerminal, cwd, mkdir, bounding, user, capabilities, ambient, noNewPrivileges, seccomp
        case personality, ioPriority, scheduler, memoryPolicy, affinity, hook, arguments, environment, find, ready
        case start, closeOnExec, execute, reap, loopback
    }

    /// How a place below the root is opened.
    struct Place: OptionSet {
        let rawValue: UInt64
        static let directory = Place(rawValue: 1)
        static let file = Place(rawValue: 2)
        static let noSymlinks = Place(rawValue: 4)
        static let devpts = Place(rawValue: 8)
    }

    private var bytes: [UInt8] = []
    private var count: UInt32 = 0
    /// Descriptors the plan names, which the child must inherit.
    private(set) var kept: [Int32] = []
    /// Whether the process that starts the plan is not the one that ends it.
    private(set) var forks = false
    /// Descriptors that were opened for the plan; they close with it.
    private var owned: [OwnedBox] = []

    init() { bytes.reserveCapacity(16384) }

    /// Adds a step.
    mutating func add(
        _ operation: Operation, _ s1: String = "", a: UInt64 = 0, b: UInt64 = 0, c: UInt64 = 0
    ) throws(BerthError) {
        try add(operation, fd: -1, a: a, b: b, c: c, Array(s1.utf8), [])
    }

    /// Adds a step with a descriptor that stays the caller's.
    mutating func add(
        _ operation: Operation, fd: Int32, _ s1: String = "", a: UInt64 = 0, c: UInt64 = 0
    ) throws(BerthError) {
        keep(fd)
        try add(operation, fd: fd, a: a, b: 0, c: c, Array(s1.utf8), [])
    }

    /// Adds a step with a descriptor that closes with the plan.
    mutating func add(
        _ operation: Operation, owned fd: consuming OwnedFD, _ s1: String = "", a: UInt64 = 0, c: UInt64 = 0
    ) throws(BerthError) {
        let number = fd.rawValue
        owned.append(OwnedBox(fd))
        try add(operation, fd: number, s1, a: a, c: c)
    }

    /// Keeps a descriptor open as long as the plan.
    mutating func own(_ fd: consuming OwnedFD) { owned.append(OwnedBox(fd)) }

    /// Lets the child inherit a descriptor.
    mutating func keep(_ fd: Int32) { if fd > 2, !kept.contains(fd) { kept.append(fd) } }

    /// Adds a step in full.
    ///
    /// - Throws: `invalidArgument` for strings with a NUL or longer than a length field holds.
    mutating func add(
        _ operation: Operation, fd: Int32, fd2: Int32 = -1, a: UInt64, b: UInt64, c: UInt64, _ s1: [UInt8],
        _ s2: [UInt8]
    ) throws(BerthError) {
        if operation == .fork { forks = true }
        let n1 = try InitPlan.length(s1, operation)
        let n2 = try InitPlan.length(s2, operation)
        let size = (48 + s1.count + 1 + s2.count + 1 + 7) / 8 * 8
        let end = bytes.count + size
        append(operation.rawValue)
        append(UInt32(size))
        append(UInt32(bitPattern: fd))
        append(UInt32(bitPattern: fd2))
        append(a)
        append(b)
        append(c)
        append(n1)
        append(n2)
        bytes.append(contentsOf: s1)
        bytes.append(0)
        bytes.append(contentsOf: s2)
        while bytes.count < end { bytes.append(0) }
        count += 1
    }

    /// The longest string of a step: far above what the kernel takes, far below what a length field holds.
    static let maxStringBytes = 8 << 20

    private static func length(_ bytes: [UInt8], _ operation: Operation) throws(BerthError) -> UInt32 {
        guard bytes.count <= maxStringBytes else {
            throw BerthError(
                .invalidArgument, "plan step '\(operation)': \(bytes.count) bytes, at most \(maxStringBytes) fit")
        }
        return UInt32(bytes.count)
    }

    /// The whole plan as bytes, with its header.
    func encoded(sync: Int32) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count + 24)
        for word in [
            InitPlan.magic, InitPlan.version, UInt32(bytes.count + 24), count, UInt32(bitPattern: sync), 0,
        ] {
            out.append(littleEndian: word)
        }
        out.append(contentsOf: bytes)
        return out
    }

    private mutating func append<T: FixedWidthInteger>(_ value: T) { bytes.append(littleEndian: value) }
}

/// Owns one descriptor for an array, which cannot hold values that are not copied.
private final class OwnedBox {
    let fd: OwnedFD
    init(_ fd: consuming OwnedFD) { self.fd = fd }
}

extension [UInt8] {
    mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
        for index in 0..<T.bitWidth / 8 { append(UInt8(truncatingIfNeeded: value >> T(index * 8))) }
    }

    /// Strings one after the other, each ended by a NUL.
    ///
    /// - Throws: `invalidArgument` if one holds a NUL: it would come out as two.
    static func strings(_ strings: [String], _ what: String) throws(BerthError) -> [UInt8] {
        var out: [UInt8] = []
        for string in strings {
            guard !string.utf8.contains(0) else {
                throw BerthError(.invalidArgument, "\(what) '\(string)' has a NUL byte")
            }
            out.append(contentsOf: string.utf8)
            out.append(0)
        }
        return out
    }
}
