internal import CBerthSystem
internal import Glibc
package import SystemPackage

/// Namespaces as flags of clone(2), setns(2) and unshare(2).
package struct Namespaces: OptionSet, Sendable, Hashable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package static let time = Namespaces(rawValue: 0x80)
    package static let mount = Namespaces(rawValue: 0x2_0000)
    package static let cgroup = Namespaces(rawValue: 0x200_0000)
    package static let uts = Namespaces(rawValue: 0x400_0000)
    package static let ipc = Namespaces(rawValue: 0x800_0000)
    package static let user = Namespaces(rawValue: 0x1000_0000)
    package static let pid = Namespaces(rawValue: 0x2000_0000)
    package static let network = Namespaces(rawValue: 0x4000_0000)

    /// Moves the calling thread. User and mount namespaces need a process of one thread: do that in a child.
    package static func enter(_ descriptor: Int32, _ kinds: Namespaces) throws(Errno) {
        try sys(berth_setns(descriptor, Int32(truncatingIfNeeded: kinds.rawValue)))
    }

    /// Gives the calling thread new namespaces.
    package static func unshare(_ kinds: Namespaces) throws(Errno) {
        try sys(berth_unshare(Int32(truncatingIfNeeded: kinds.rawValue)))
    }

    /// Opens one of a process's namespaces by its name under `ns/`, e.g. `net`.
    package static func open(_ name: String, of process: String = "thread-self") throws(Errno) -> OwnedFD {
        try Files.open("/proc/\(process)/ns/\(name)", O_RDONLY)
    }
}
