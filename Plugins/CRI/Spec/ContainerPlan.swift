internal import BerthBase
internal import BerthOCI
internal import BerthServices

/// Everything a container's OCI spec is made from: the request, and what was found for it on the host and in the image.
struct ContainerPlan: Sendable {
    var id: ContainerID
    var spec: ContainerSpec
    var podID: PodID
    var pod: PodSpec
    var namespace: NamespaceID
    var image: ImageConfig
    var user: ResolvedUser
    var facts: HostFacts
    /// A process in the pod's namespaces.
    var sandboxPID: UInt32 = 0
    /// The pod's namespaces that have paths.
    var netns = ""
    var userns = ""
    /// The init process of the container whose PID namespace is joined.
    var targetPID: UInt32 = 0
    /// hosts, resolv.conf, hostname and the pod's shared memory.
    var files = PodFilePaths(directory: "")
    /// The request's mounts, sources checked.
    var mounts: [VolumeMount] = []
    /// The image's volumes: target and host directory.
    var volumes: [VolumeMount] = []
    /// The request's devices, or all of the host's for a privileged container.
    var devices: [HostDevice] = []
    /// The profile of `seccomp: Localhost`.
    var seccomp: OCISeccomp?
    /// Whether the sources of the mounts let events through.
    var rootfsPropagation: MountPropagation = .private
}

/// Where a pod's own files lie.
struct PodFilePaths: Sendable, Hashable, Codable {
    var directory: String
    var hosts: String { directory + "/hosts" }
    var resolvConf: String { directory + "/resolv.conf" }
    var hostname: String { directory + "/hostname" }
    var sharedMemory: String { directory + "/shm" }
}

/// A device node of the host.
struct HostDevice: Sendable, Hashable {
    var device: OCIDevice
    var access: String
}

extension ContainerPlan {
    /// The OCI spec.
    /// - Throws: `invalidArgument` for a command or a variable that makes no sense.
    func build() throws -> OCISpec {
        let security = spec.security
        var oci = OCISpec()
        oci.process = try process()
        oci.root = OCIRoot(path: "rootfs", readonly: security.readOnlyRootfs ? true : nil)
        oci.mounts = allMounts()
        oci.annotations = SpecAnnotations.container(spec, pod: pod, id: podID)
        var linux = OCILinux()
        linux.namespaces = namespaces()
        if !pod.namespaces.uids.isEmpty {
            linux.uidMappings = pod.namespaces.uids.map(SandboxSpecBuilder.mapping)
            linux.gidMappings = pod.namespaces.gids.map(SandboxSpecBuilder.mapping)
        }
        linux.cgroupsPath = SandboxSpecBuilder.cgroup(pod, namespace: namespace, id: id.rawValue)
        linux.devices = devices.isEmpty ? nil : devices.map(\.device)
        linux.resources = resources()
        linux.rootfsPropagation =
            switch rootfsPropagation {
            case .private: nil
            case .hostToContainer: "rslave"
            case .bidirectional: "rshared"
            }
        if !security.privileged {
            linux.maskedPaths = security.maskedPaths.isEmpty ? nil : security.maskedPaths
            linux.readonlyPaths = security.readOnlyPaths.isEmpty ? nil : security.readOnlyPaths
            linux.seccomp = seccompProfile(oci.process?.capabilities)
        }
        oci.linux = linux
        return oci
    }

    /// Entrypoint and command: a request's command replaces both of the image's, its args only the command.
    func arguments() throws -> [String] {
        let all: [String]
        if !spec.command.isEmpty {
            all = spec.command + spec.args
        } else {
            all = image.entrypoint + (spec.args.isEmpty ? image.command : spec.args)
        }
        guard let first = all.first, !first.isEmpty else {
            throw BerthError(
                .invalidArgument, "container '\(spec.name)': neither the request nor the image names a command")
        }
        return all
    }

    private func process() throws -> OCIProcess {
        let security = spec.security
        var process = OCIProcess(args: try arguments(), cwd: try workingDirectory(), env: environment())
        process.terminal = spec.terminal ? true : nil
        process.user = OCIUser(uid: user.uid, gid: user.gid, additionalGids: user.groups)
        process.capabilities = try CapabilityChoice.sets(
            security, host: facts.capabilities, known: facts.knownCapabilities)
        process.noNewPrivileges = security.noNewPrivileges ? true : nil
        process.oomScoreAdj = Int(spec.resources.oomScoreAdj)
        if case .localhost(let name) = security.apparmor, facts.appArmor, !security.privileged {
            process.apparmorProfile = name
        }
        return process
    }

    private func workingDirectory() throws -> String {
        let choice = spec.workingDirectory.isEmpty ? image.workingDirectory : spec.workingDirectory
        if choice.isEmpty { return "/" }
        guard !choice.utf8.contains(0) else { throw BerthError(.invalidArgument, "working_dir has a NUL byte") }
        // An image's relative directory starts at the root, as docker has it.
        return choice.hasPrefix("/") ? choice : "/" + choice
    }

    /// The image's variables, then the pod's host name, then the request's; a later one of a name replaces it in place.
    private func environment() -> [String] {
        var names: [String] = []
        var values: [String: String] = [:]
        func set(_ name: String, _ value: String) {
            if values.updateValue(value, forKey: name) == nil { names.append(name) }
        }
        set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        if spec.terminal { set("TERM", "xterm") }
        let host = pod.namespaces.network == .node ? facts.hostname : SandboxSpecBuilder.hostname(pod, id: podID)
        set("HOSTNAME", host)
        for entry in image.environment {
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2, !parts[0].isEmpty { set(String(parts[0]), String(parts[1])) }
        }
        for variable in spec.environment { set(variable.name, variable.value) }
        return names.map { "\($0)=\(values[$0] ?? "")" }
    }

    private func namespaces() -> [OCINamespace] {
        let options = pod.namespaces
        var all = [OCINamespace(.mount)]
        func shared(_ type: OCINamespaceType, _ file: String) {
            all.append(OCINamespace(type, path: "/proc/\(sandboxPID)/ns/\(file)"))
        }
        if options.network != .node {
            all.append(OCINamespace(.network, path: netns))
            shared(.uts, "uts")
        }
        if options.ipc == .pod { shared(.ipc, "ipc") }
        switch spec.security.pid {
        case .container: all.append(OCINamespace(.pid))
        case .pod: shared(.pid, "pid")
        case .target: all.append(OCINamespace(.pid, path: "/proc/\(targetPID)/ns/pid"))
        case .node: break
        }
        if !options.uids.isEmpty { all.append(OCINamespace(.user, path: userns)) }
        if facts.cgroupV2, !spec.security.privileged { all.append(OCINamespace(.cgroup)) }
        return all
    }

    private func seccompProfile(_ sets: OCICapabilities?) -> OCISeccomp? {
        switch spec.security.seccomp {
        case .unconfined: nil
        case .runtimeDefault:
            DefaultSeccomp.profile(capabilities: Set(sets?.bounding ?? []), architecture: facts.architecture)
        case .localhost: seccomp
        }
    }
}
