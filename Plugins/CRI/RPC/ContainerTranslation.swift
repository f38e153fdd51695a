internal import BerthAPI
internal import BerthBase
internal import BerthServices

extension ContainerSpec {
    /// A container as a CRI client asks for it, in a pod that is there.
    /// - Throws: `invalidArgument` or `unimplemented` that names the field.
    init(_ config: Runtime_V1_ContainerConfig, pod: PodSpec) throws {
        guard config.hasMetadata else { throw BerthError(.invalidArgument, "the container config has no metadata") }
        guard !config.hasWindows else { throw BerthError(.invalidArgument, "windows: this node runs Linux") }
        guard config.cdiDevices.isEmpty else {
            throw BerthError(.unimplemented, "CDI_devices: CDI devices are not supported")
        }
        try CDIAnnotations.refuse(config.annotations)
        guard config.image.runtimeHandler.isEmpty || config.image.runtimeHandler == pod.runtimeHandler else {
            throw BerthError(
                .invalidArgument, "image.runtime_handler '\(config.image.runtimeHandler)' is not the pod's")
        }
        self.init(name: config.metadata.name, image: config.image.image)
        attempt = config.metadata.attempt
        userImage = config.image.userSpecifiedImage
        imageAnnotations = config.image.annotations
        command = config.command
        args = config.args
        workingDirectory = config.workingDir
        environment = try config.envs.map { variable in
            guard let value = String(validating: variable.value, as: UTF8.self) else {
                throw BerthError(.invalidArgument, "envs: the value of '\(variable.key)' is not UTF-8")
            }
            return EnvironmentVariable(variable.key, value)
        }
        mounts = try config.mounts.map(VolumeMount.init)
        devices = config.devices.map {
            DeviceMapping(target: $0.containerPath, source: $0.hostPath, permissions: $0.permissions)
        }
        labels = config.labels
        annotations = config.annotations
        // Without a directory to join it to, there is no log.
        logPath = pod.logDirectory.isEmpty ? "" : config.logPath
        (stdin, stdinOnce, terminal) = (config.stdin, config.stdinOnce, config.tty)
        resources = try ResourceLimits(config.linux.resources)
        security = try ContainerSecurity(config.linux.securityContext, pod: pod)
        stopSignal = try SignalTranslation.name(config.stopSignal)
    }
}

extension VolumeMount {
    fileprivate init(_ mount: Runtime_V1_Mount) throws {
        guard !mount.hasImage, mount.imageSubPath.isEmpty else {
            throw BerthError(.unimplemented, "mounts: '\(mount.containerPath)': image volumes are not supported")
        }
        self.init(target: mount.containerPath, source: mount.hostPath, readOnly: mount.readonly)
        recursiveReadOnly = mount.recursiveReadOnly
        selinuxRelabel = mount.selinuxRelabel
        switch mount.propagation {
        case .propagationPrivate: propagation = .private
        case .propagationHostToContainer: propagation = .hostToContainer
        case .propagationBidirectional: propagation = .bidirectional
        case .UNRECOGNIZED(let number):
            throw BerthError(.invalidArgument, "mounts: propagation \(number) is none of CRI")
        }
        uids = mount.uidMappings.map(IDMapping.init)
        gids = mount.gidMappings.map(IDMapping.init)
        options = mount.mountOptions
    }

    var message: Runtime_V1_Mount {
        var mount = Runtime_V1_Mount()
        mount.containerPath = target
        mount.hostPath = source
        mount.readonly = readOnly
        mount.recursiveReadOnly = recursiveReadOnly
        mount.selinuxRelabel = selinuxRelabel
        switch propagation {
        case .private: mount.propagation = .propagationPrivate
        case .hostToContainer: mount.propagation = .propagationHostToContainer
        case .bidirectional: mount.propagation = .propagationBidirectional
        }
        mount.uidMappings = uids.map(\.message)
        mount.gidMappings = gids.map(\.message)
        mount.mountOptions = options
        return mount
    }
}

extension ContainerSecurity {
    fileprivate init(_ context: Runtime_V1_LinuxContainerSecurityContext, pod: PodSpec) throws {
        self.init()
        addCapabilities = context.capabilities.addCapabilities
        dropCapabilities = context.capabilities.dropCapabilities
        ambientCapabilities = context.capabilities.addAmbientCapabilities
        privileged = context.privileged
        pid = pod.namespaces.pid
        if context.hasNamespaceOptions { try setNamespaces(context.namespaceOptions, pod: pod) }
        user = try Self.user(context)
        supplementalGroups = try context.supplementalGroups.map { try Self.id($0, "supplemental_groups") }
        switch context.supplementalGroupsPolicy {
        case .merge: strictGroups = false
        case .strict: strictGroups = true
        case .UNRECOGNIZED(let number):
            throw BerthError(.invalidArgument, "supplemental_groups_policy: \(number) is none of CRI")
        }
        readOnlyRootfs = context.readonlyRootfs
        noNewPrivileges = context.noNewPrivs
        maskedPaths = context.maskedPaths
        readOnlyPaths = context.readonlyPaths
        seccomp = try Self.profile(
            context.hasSeccomp ? context.seccomp : nil, deprecated: context.seccompProfilePath, "seccomp")
        apparmor = try Self.profile(
            context.hasApparmor ? context.apparmor : nil, deprecated: context.apparmorProfile, "apparmor")
        if context.hasSelinuxOptions { selinuxLabel = context.selinuxOptions.label }
    }

    /// Network, IPC and user namespaces are the pod's: a container that asks for the host's in a pod that has its own,
    /// or for other maps, is refused.
    private mutating func setNamespaces(_ options: Runtime_V1_NamespaceOption, pod: PodSpec) throws {
        pid = try NamespaceSharing(options.pid, "pid")
        pidTarget = pid == .target ? options.targetID : ""
        if options.network == .node, pod.namespaces.network != .node {
            throw BerthError(.invalidArgument, "namespace_options.network is NODE in a pod with a network of its own")
        }
        if options.ipc == .node, pod.namespaces.ipc != .node {
            throw BerthError(
                .invalidArgument, "namespace_options.ipc is NODE in a pod with an IPC namespace of its own")
        }
        if options.hasUsernsOptions, options.usernsOptions.mode != .node {
            guard options.usernsOptions.uids.map(IDMapping.init) == pod.namespaces.uids,
                options.usernsOptions.gids.map(IDMapping.init) == pod.namespaces.gids
            else { throw BerthError(.invalidArgument, "userns_options of the container are not the pod's") }
        }
    }

    private static func id(_ value: Int64, _ field: String) throws -> UInt32 {
        guard (0...AccountName.maxID).contains(value), let id = UInt32(exactly: value) else {
            throw BerthError(.invalidArgument, "\(field): \(value) is not between 0 and \(AccountName.maxID)")
        }
        return id
    }

    private static func user(_ context: Runtime_V1_LinuxContainerSecurityContext) throws -> ContainerUser {
        let gid = context.hasRunAsGroup ? try id(context.runAsGroup.value, "run_as_group") : nil
        guard !(context.hasRunAsUser && !context.runAsUsername.isEmpty) else {
            throw BerthError(.invalidArgument, "run_as_user and run_as_username exclude each other")
        }
        if context.hasRunAsUser { return .ids(uid: try id(context.runAsUser.value, "run_as_user"), gid: gid) }
        if !context.runAsUsername.isEmpty {
            guard !context.runAsUsername.contains(":") else {
                throw BerthError(.invalidArgument, "run_as_username '\(context.runAsUsername)' has a colon")
            }
            return .named(gid.map { "\(context.runAsUsername):\($0)" } ?? context.runAsUsername)
        }
        guard gid == nil else {
            throw BerthError(.invalidArgument, "run_as_group needs run_as_user or run_as_username")
        }
        return .image
    }

    /// The profile, or what the deprecated path says: empty is unconfined.
    private static func profile(
        _ profile: Runtime_V1_SecurityProfile?, deprecated path: String, _ field: String
    ) throws -> SecurityProfileChoice {
        func plain(_ reference: String) -> String {
            reference.hasPrefix("localhost/") ? String(reference.dropFirst("localhost/".count)) : reference
        }
        guard let profile else {
            switch path {
            case "", "unconfined": return .unconfined
            case "runtime/default", "docker/default": return .runtimeDefault
            case let name where name.hasPrefix("localhost/"): return .localhost(plain(name))
            default: throw BerthError(.invalidArgument, "\(field) profile '\(path)' is none that there is")
            }
        }
        switch profile.profileType {
        case .runtimeDefault: return .runtimeDefault
        case .unconfined: return .unconfined
        case .localhost: return .localhost(plain(profile.localhostRef))
        case .UNRECOGNIZED(let number):
            throw BerthError(.invalidArgument, "\(field): profile type \(number) is none of CRI")
        }
    }
}
