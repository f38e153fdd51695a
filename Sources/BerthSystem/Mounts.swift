internal import CBerthSystem
internal import Glibc
package import SystemPackage

/// The mount system calls that work on descriptors. Source: fsopen(2), open_tree(2), mount_setattr(2).
package enum Mounts {
    /// Attributes of a mount as `fsmount` and `mount_setattr` take them.
    package struct Attributes: OptionSet, Sendable, Hashable {
        package let rawValue: UInt64
        package init(rawValue: UInt64) { self.rawValue = rawValue }
        package static let readOnly = Attributes(rawValue: 0x01)
        package static let noSuid = Attributes(rawValue: 0x02)
        package static let noDev = Attributes(rawValue: 0x04)
        package static let noExec = Attributes(rawValue: 0x08)
        /// The bits of the access time mode; the mode "relative" is none of them.
        package static let accessTimeMask = Attributes(rawValue: 0x70)
        package static let noAccessTime = Attributes(rawValue: 0x10)
        package static let strictAccessTime = Attributes(rawValue: 0x20)
        package static let noDirectoryAccessTime = Attributes(rawValue: 0x80)
        package static let noSymlinkFollow = Attributes(rawValue: 0x20_0000)
        package static let idmap = Attributes(rawValue: 0x10_0000)
    }

    /// Which mount events a mount shares. The values are those of mount(2).
    package enum Propagation: UInt64, Sendable {
        case shared = 0x10_0000, slave = 0x8_0000, `private` = 0x4_0000, unbindable = 0x2_0000
    }

    /// A copy of the mount at a path, attached nowhere; with `recursive` of those below it too.
    package static func clone(
        _ path: String, at directory: Int32 = AT_FDCWD, recursive: Bool
    ) throws(Errno) -> OwnedFD {
        let flags: UInt32 = 0x1 | UInt32(O_CLOEXEC) | (recursive ? 0x8000 : 0) | (path.isEmpty ? 0x1000 : 0)
        // SAFETY: the string lives through the call.
        return OwnedFD(try sys(unsafe berth_open_tree(directory, path, flags)))
    }

    /// Changes attributes of the mount behind a descriptor.
    package static func setAttributes(
        _ mount: Int32, set: Attributes = [], clear: Attributes = [], propagation: Propagation? = nil,
        userNamespace: Int32? = nil, recursive: Bool
    ) throws(Errno) {
        var attr = berth_mount_attr(set: set.rawValue, clear: clear.rawValue, propagation: 0, userns: 0)
        attr.propagation = propagation?.rawValue ?? 0
        if let userNamespace {
            attr.set |= Attributes.idmap.rawValue
            attr.userns = UInt64(userNamespace)
        }
        // SAFETY: the literal lives through the call; the structure goes by value.
        try sys(unsafe berth_mount_setattr(mount, "", 0x1000 | (recursive ? 0x8000 : 0), attr))
    }

    /// Attaches a detached mount to a target.
    package static func attach(_ mount: Int32, to path: String, at directory: Int32 = AT_FDCWD) throws(Errno) {
        let flags: UInt32 = 0x4 | (path.isEmpty ? 0x40 : 0)
        // SAFETY: the strings live through the call.
        try sys(unsafe berth_move_mount(mount, "", directory, path, flags))
    }

    /// Detaches the mount at a path at once, whoever still uses it.
    package static func detach(_ path: String) throws(Errno) {
        // SAFETY: the string lives through the call. MNT_DETACH | UMOUNT_NOFOLLOW.
        try check(unsafe umount2(path, 0x2 | 0x8))
    }
}

/// A file system that is being put together: `fsopen`, options, `fsmount`.
package struct FileSystemContext: ~Copyable {
    private let context: OwnedFD

    /// Begins a file system of a type, e.g. `overlay`.
    package init(_ type: String) throws(Errno) {
        // SAFETY: the string lives through the call. FSOPEN_CLOEXEC is 1.
        context = OwnedFD(try sys(unsafe berth_fsopen(type, 1)))
    }

    /// Sets an option with a value.
    package func set(_ key: String, _ value: String) throws(Errno) {
        // SAFETY: the strings live through the call. FSCONFIG_SET_STRING is 1.
        try sys(unsafe value.withCString { unsafe berth_fsconfig(context.rawValue, 1, key, $0, 0) })
    }

    /// Sets an option without a value.
    package func set(_ flag: String) throws(Errno) {
        // SAFETY: the string lives through the call. FSCONFIG_SET_FLAG is 0.
        try sys(unsafe berth_fsconfig(context.rawValue, 0, flag, nil, 0))
    }

    /// Sets an option to an open descriptor.
    package func set(_ key: String, descriptor: Int32) throws(Errno) {
        // SAFETY: the string lives through the call. FSCONFIG_SET_FD is 5.
        try sys(unsafe berth_fsconfig(context.rawValue, 5, key, nil, descriptor))
    }

    /// Makes the superblock and its detached mount.
    package func mount(_ attributes: Mounts.Attributes = []) throws(Errno) -> OwnedFD {
        // FSCONFIG_CMD_CREATE is 6, FSMOUNT_CLOEXEC is 1.
        try sys(berth_fsconfig(context.rawValue, 6, nil, nil, 0))
        return OwnedFD(try sys(berth_fsmount(context.rawValue, 1, UInt32(attributes.rawValue))))
    }

    /// The kernel's words on what went wrong, if it left any.
    package func complaint() -> String? {
        var bytes = [UInt8](repeating: 0, count: 512)
        // SAFETY: the buffer is as long as its count says.
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(context.rawValue, $0.baseAddress, $0.count) }
        guard count > 2 else { return nil }
        return String(decoding: bytes[2..<count].filter { $0 != 0x0a }, as: UTF8.self)
    }
}
