internal import BerthAPI
internal import BerthBase
internal import BerthServices

extension PodSpec {
    /// A pod as a CRI client asks for it.
    ///
    /// A sandbox here has no process of its own that would need a user, groups, a root file system or a filter, so
    /// those fields of its security context hold by themselves.
    /// - Throws: `invalidArgument` or `unimplemented` that names the field.
    init(_ config: Runtime_V1_PodSandboxConfig, handler: String) throws {
        guard config.hasMetadata else { throw BerthError(.invalidArgument, "the sandbox config has no metadata") }
        guard !config.hasWindows else { throw BerthError(.invalidArgument, "windows: this node runs Linux") }
        self.init(name: config.metadata.name)
        uid = config.metadata.uid
        group = config.metadata.namespace
        attempt = config.metadata.attempt
        hostname = config.hostname
        logDirectory = config.logDirectory
        if config.hasDnsConfig {
            dns = PodDNS(
                servers: config.dnsConfig.servers, searches: config.dnsConfig.searches,
                options: config.dnsConfig.options)
        }
        ports = try config.portMappings.map(PortMapping.init)
        labels = config.labels
        annotations = config.annotations
        try CDIAnnotations.refuse(config.annotations)
        runtimeHandler = handler
        let linux = config.linux
        cgroupParent = linux.cgroupParent
        sysctls = linux.sysctls
        privileged = linux.securityContext.privileged
        if linux.hasOverhead { overhead = try ResourceLimits(linux.overhead) }
        if linux.hasResources { resources = try ResourceLimits(linux.resources) }
        namespaces = try PodNamespaceOptions(linux.securityContext.namespaceOptions)
        if linux.securityContext.hasSelinuxOptions { selinuxLabel = linux.securityContext.selinuxOptions.label }
    }
}

extension Runtime_V1_SELinuxOption {
    /// `user:role:type:level`; empty when nothing is set.
    var label: String {
        let parts = [user, role, type, level]
        return parts.allSatisfy(\.isEmpty) ? "" : parts.joined(separator: ":")
    }
}

extension PortMapping {
    fileprivate init(_ port: Runtime_V1_PortMapping) throws {
        let transport: String
        switch port.protocol {
        case .tcp: transport = "tcp"
        case .udp: transport = "udp"
        case .sctp: transport = "sctp"
        case .UNRECOGNIZED(let number):
            throw BerthError(.invalidArgument, "port_mappings: \(number) is no protocol of CRI")
        }
        self.init(
            transport: transport, containerPort: port.containerPort, hostPort: port.hostPort, hostIP: port.hostIp)
    }
}

extension NamespaceSharing {
    init(_ mode: Runtime_V1_NamespaceMode, _ field: String) throws {
        switch mode {
        case .pod: self = .pod
        case .container: self = .container
        case .node: self = .node
        case .target: self = .target
        case .UNRECOGNIZED(let number):
            throw BerthError(.invalidArgument, "namespace_options.\(field): \(number) is no mode of CRI")
        }
    }

    var message: Runtime_V1_NamespaceMode {
        switch self {
        case .pod: .pod
        case .container: .container
        case .node: .node
        case .target: .target
        }
    }
}

extension PodNamespaceOptions {
    init(_ options: Runtime_V1_NamespaceOption) throws {
        self.init()
        network = try NamespaceSharing(options.network, "network")
        pid = try NamespaceSharing(options.pid, "pid")
        ipc = try NamespaceSharing(options.ipc, "ipc")
        guard options.hasUsernsOptions, options.usernsOptions.mode != .node else { return }
        guard options.usernsOptions.mode == .pod else {
            throw BerthError(.invalidArgument, "userns_options.mode is POD or NODE")
        }
        uids = options.usernsOptions.uids.map(IDMapping.init)
        gids = options.usernsOptions.gids.map(IDMapping.init)
        guard !uids.isEmpty, !gids.isEmpty else {
            throw BerthError(.invalidArgument, "userns_options: mode POD needs uids and gids")
        }
    }

    var message: Runtime_V1_NamespaceOption {
        var options = Runtime_V1_NamespaceOption()
        options.network = network.message
        options.pid = pid.message
        options.ipc = ipc.message
        if !uids.isEmpty {
            options.usernsOptions.mode = .pod
            options.usernsOptions.uids = uids.map(\.message)
            options.usernsOptions.gids = gids.map(\.message)
        }
        return options
    }
}

extension IDMapping {
    init(_ map: Runtime_V1_IDMapping) {
        self.init(containerID: map.containerID, hostID: map.hostID, size: map.length)
    }

    var message: Runtime_V1_IDMapping {
        var map = Runtime_V1_IDMapping()
        (map.containerID, map.hostID, map.length) = (containerID, hostID, size)
        return map
    }
}

/// Devices by CDI are not there: a request for one is refused, not forgotten.
enum CDIAnnotations {
    static func refuse(_ annotations: [String: String]) throws {
        if let name = annotations.keys.first(where: { $0.hasPrefix("cdi.k8s.io/") }) {
            throw BerthError(.unimplemented, "annotation '\(name)': CDI devices are not supported")
        }
    }
}

extension ResourceLimits {
    init(_ message: Runtime_V1_LinuxContainerResources) throws {
        self.init()
        cpuPeriod = message.cpuPeriod
        cpuQuota = message.cpuQuota
        cpuShares = message.cpuShares
        memoryLimit = message.memoryLimitInBytes
        memorySwapLimit = message.memorySwapLimitInBytes
        oomScoreAdj = message.oomScoreAdj
        cpusetCPUs = message.cpusetCpus
        cpusetMems = message.cpusetMems
        for hugepage in message.hugepageLimits {
            guard hugepages.updateValue(hugepage.limit, forKey: hugepage.pageSize) == nil else {
                throw BerthError(.invalidArgument, "hugepage_limits: '\(hugepage.pageSize)' comes twice")
            }
        }
        unified = message.unified
    }

    var message: Runtime_V1_LinuxContainerResources {
        var message = Runtime_V1_LinuxContainerResources()
        message.cpuPeriod = cpuPeriod
        message.cpuQuota = cpuQuota
        message.cpuShares = cpuShares
        message.memoryLimitInBytes = memoryLimit
        message.memorySwapLimitInBytes = memorySwapLimit
        message.oomScoreAdj = oomScoreAdj
        message.cpusetCpus = cpusetCPUs
        message.cpusetMems = cpusetMems
        message.hugepageLimits = hugepages.sorted { $0.key < $1.key }.map { size, limit in
            var hugepage = Runtime_V1_HugepageLimit()
            (hugepage.pageSize, hugepage.limit) = (size, limit)
            return hugepage
        }
        message.unified = unified
        return message
    }
}
