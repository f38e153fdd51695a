internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension ContainerPlan {
    /// The devices every container has. Source: OCI runtime spec, "Default Devices".
    private static let defaults: [OCIDevice] = [
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
    ].map { name, major, minor in
        OCIDevice(path: "/dev/\(name)", type: "c", major: major, minor: minor, fileMode: 0o666)
    }

    /// A container that was given the host's /dev gets nothing made in it.
    private var hasForeignDev: Bool {
        (request.spec.mounts ?? []).contains { mount in
            SpecCheck.normalized(mount.destination) == "/dev"
                && (mount.type == "bind" || MountOptions(mount.options ?? []).bind)
        }
    }

    func addDevices(to plan: inout InitPlan) throws(BerthError) {
        if hasForeignDev { return }
        let asked = linux.devices ?? []
        let paths = Set(asked.map { SpecCheck.normalized($0.path) })
        for device in ContainerPlan.defaults.filter({ !paths.contains($0.path) }) + asked {
            if userNamespace { try addDeviceBind(device, to: &plan) } else { try addDevice(device, to: &plan) }
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"), ("core", "/proc/kcore"),
        ] {
            try addLink("/dev/" + name, to: target, in: &plan)
        }
    }

    private func addDevice(_ device: OCIDevice, to plan: inout InitPlan) throws(BerthError) {
        let kinds: [String: UInt64] = ["c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000]
        guard let kind = kinds[device.type] else {
            throw BerthError(.invalidArgument, "device '\(device.path)': type '\(device.type)' is unknown")
        }
        guard device.path.hasPrefix("/"), !device.path.hasSuffix("/") else {
            throw BerthError(.invalidArgument, "device '\(device.path)' is not an absolute path")
        }
        let major = UInt64(device.major ?? 0), minor = UInt64(device.minor ?? 0)
        let number = (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)
        let owner = UInt64(device.uid ?? 0) << 32 | UInt64(device.gid ?? 0)
        try plan.add(
            .mknod, device.path, a: kind | UInt64(device.fileMode ?? 0o666) & 0o7777, b: number, c: owner)
    }

    /// In a user namespace nobody may make device nodes: the host's are bound, after a look at what they are.
    private func addDeviceBind(_ device: OCIDevice, to plan: inout InitPlan) throws(BerthError) {
        var matches = false
        let clone = try attempting("bind device '\(device.path)'") { () throws(Errno) in
            let clone = try Mounts.clone(device.path, recursive: false)
            let status = try Files.status(of: clone.rawValue)
            let kind =
                device.type == "b"
                ? status.isBlockDevice : device.type == "p" ? status.isFIFO : status.isCharacterDevice
            matches =
                kind && Int64(status.deviceMajor) == device.major ?? Int64(status.deviceMajor)
                && Int64(status.deviceMinor) == device.minor ?? Int64(status.deviceMinor)
            try Mounts.setAttributes(clone.rawValue, propagation: .private, recursive: false)
            return clone
        }
        guard matches else {
            throw BerthError(.failedPrecondition, "device '\(device.path)' of the host has another type or number")
        }
        try plan.add(
            .mountFD, owned: clone, device.path, c: InitPlan.Place([.file, .noSymlinks]).rawValue)
    }
}
