public import BerthBase

/// Limits of a container's cgroup. Zero and empty mean: not set.
public struct ResourceLimits: Sendable, Hashable, Codable {
    /// Microseconds.
    public var cpuPeriod: Int64 = 0
    /// Microseconds a period; -1: no limit.
    public var cpuQuota: Int64 = 0
    /// Relative weight, 2 to 262144.
    public var cpuShares: Int64 = 0
    /// Bytes.
    public var memoryLimit: Int64 = 0
    /// Memory and swap together, bytes; -1: no limit.
    public var memorySwapLimit: Int64 = 0
    /// -1000 to 1000; clamped to what the daemon may set.
    public var oomScoreAdj: Int64 = 0
    /// CPUs, `0-3,7`.
    public var cpusetCPUs: String = ""
    /// Memory nodes.
    public var cpusetMems: String = ""
    /// Bytes by page size (`2MB`).
    public var hugepages: [String: UInt64] = [:]
    /// cgroup v2 files and their values.
    public var unified: [String: String] = [:]
    /// No limits.
    public init() {}
}

/// Which mount events cross a mount.
public enum MountPropagation: String, Sendable, Hashable, Codable {
    /// None.
    case `private`
    /// Those of the host reach the container.
    case hostToContainer
    /// Both ways.
    case bidirectional
}

/// A host path in a container.
public struct VolumeMount: Sendable, Hashable, Codable {
    /// The absolute path in the container.
    public var target: String
    /// The absolute path on the host; a missing one is made as a directory.
    public var source: String
    /// Read-only.
    public var readOnly = false
    /// Mounts below it are read-only too; needs `readOnly` and no propagation.
    public var recursiveReadOnly = false
    /// Which mount events cross it.
    public var propagation: MountPropagation = .private
    /// Whether the files are to get the container's SELinux label.
    public var selinuxRelabel = false
    /// User ID maps of an idmapped mount, as the kubelet gives them with a user namespace.
    public var uids: [IDMapping] = []
    /// Group ID maps of an idmapped mount.
    public var gids: [IDMapping] = []
    /// Further options: `noexec`, `nosuid`, `nodev` and their like.
    public var options: [String] = []
    /// Makes a mount.
    public init(target: String, source: String, readOnly: Bool = false) {
        self.target = target
        self.source = source
        self.readOnly = readOnly
    }
}

/// A host device in a container.
public struct DeviceMapping: Sendable, Hashable, Codable {
    /// The path in the container.
    public var target: String
    /// The path on the host; a directory means all devices below it.
    public var source: String
    /// Letters of `rwm`.
    public var permissions: String
    /// Makes a mapping.
    public init(target: String, source: String, permissions: String) {
        self.target = target
        self.source = source
        self.permissions = permissions
    }
}

/// A seccomp or AppArmor profile.
public enum SecurityProfileChoice: Sendable, Hashable, Codable {
    /// No profile.
    case unconfined
    /// The runtime's own.
    case runtimeDefault
    /// One of this host: a file's path for seccomp, a loaded profile's name for AppArmor.
    case localhost(String)
}

/// Who a container's process is.
public enum ContainerUser: Sendable, Hashable, Codable {
    /// As the image says, else root.
    case image
    /// `USER[:GROUP]` as an image or an operator writes it: digits are numbers and are never looked up as names.
    case named(String)
    /// A user ID, and a group ID if given; else the group that /etc/passwd names, else 0.
    case ids(uid: UInt32, gid: UInt32?)
}

/// What a container may do.
public struct ContainerSecurity: Sendable, Hashable, Codable {
    /// Capabilities beside the default set, without `CAP_`; `ALL` is all.
    public var addCapabilities: [String] = []
    /// Capabilities out of the default set; `ALL` is all.
    public var dropCapabilities: [String] = []
    /// Capabilities that a program without file capabilities keeps.
    public var ambientCapabilities: [String] = []
    /// All capabilities, devices and writable /sys, no filters.
    public var privileged = false
    /// `.pod`, `.container`, `.node` or `.target`.
    public var pid: NamespaceSharing = .container
    /// The container whose PID namespace is joined with `.target`.
    public var pidTarget: String = ""
    /// Who its process is.
    public var user: ContainerUser = .image
    /// Further groups.
    public var supplementalGroups: [UInt32] = []
    /// Whether the groups that the image's /etc/group gives the user are left out.
    public var strictGroups = false
    /// The root file system cannot be written.
    public var readOnlyRootfs = false
    /// No program can raise privileges.
    public var noNewPrivileges = false
    /// Paths that cannot be read.
    public var maskedPaths: [String] = []
    /// Paths that cannot be written.
    public var readOnlyPaths: [String] = []
    /// The seccomp profile.
    public var seccomp: SecurityProfileChoice = .runtimeDefault
    /// The AppArmor profile.
    public var apparmor: SecurityProfileChoice = .unconfined
    /// Whether an SELinux label was asked for.
    public var selinuxLabel: String = ""
    /// The default capabilities, the default seccomp profile, a PID namespace of its own, nothing masked.
    public init() {}
}

/// One variable of an environment.
public struct EnvironmentVariable: Sendable, Hashable, Codable {
    /// The name.
    public var name: String
    /// The value.
    public var value: String
    /// Makes a variable.
    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// What a container is made from. Its identity is `name` and `attempt` within its pod.
public struct ContainerSpec: Sendable, Hashable, Codable {
    /// The name, unique in the pod with `attempt`.
    public var name: String
    /// The number of containers with this name before it.
    public var attempt: UInt32 = 0
    /// The image: a reference or an ID that is here already.
    public var image: String
    /// The image as its user wrote it, for status.
    public var userImage: String = ""
    /// Annotations of the image, for status.
    public var imageAnnotations: [String: String] = [:]
    /// Replaces the image's entrypoint, and its command with it.
    public var command: [String] = []
    /// Replaces the image's command.
    public var args: [String] = []
    /// The working directory; empty: the image's, else `/`.
    public var workingDirectory: String = ""
    /// Variables beside the image's; a later one of the same name wins.
    public var environment: [EnvironmentVariable] = []
    /// Host paths.
    public var mounts: [VolumeMount] = []
    /// Host devices.
    public var devices: [DeviceMapping] = []
    /// Labels.
    public var labels: [String: String] = [:]
    /// Annotations.
    public var annotations: [String: String] = [:]
    /// The log's path below the pod's log directory; empty: output is discarded.
    public var logPath: String = ""
    /// Whether standard input stays open.
    public var stdin = false
    /// Whether standard input ends with the first client that was attached.
    public var stdinOnce = false
    /// Whether it has a terminal.
    public var terminal = false
    /// Limits.
    public var resources = ResourceLimits()
    /// What it may do.
    public var security = ContainerSecurity()
    /// `SIGTERM` and its like, or empty: the image's, else SIGTERM.
    public var stopSignal: String = ""
    /// A container of that name and image with every default.
    public init(name: String, image: String) {
        self.name = name
        self.image = image
    }
}

/// Where a container is.
public enum ContainerState: String, Sendable, Codable {
    /// Made, not started.
    case created
    /// Runs.
    case running
    /// Ended; status and log stay until it is removed.
    case exited
    /// Its shim does not answer.
    case unknown
}

/// A container as the engine knows it.
public struct ContainerInfo: Sendable, Hashable {
    /// Its ID, 64 hex digits.
    public var id: ContainerID
    /// Its pod.
    public var pod: PodID
    /// The containerd namespace it lives in.
    public var namespace: NamespaceID
    /// What it was made from.
    public var spec: ContainerSpec
    /// Where it is.
    public var state: ContainerState
    /// A word for why it is there: `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown`.
    public var reason: String = ""
    /// A sentence for why it is there.
    public var message: String = ""
    /// The image's name, `repository:tag`, or the image as it was asked for when it has none.
    public var imageName: String = ""
    /// The digest of the image's config.
    public var imageID: String = ""
    /// The image by digest, `repository@sha256:…`, or its ID when it has no name.
    public var imageRef: String = ""
    /// When it was made.
    public var createdAt: Timestamp
    /// When it was started, if it was.
    public var startedAt: Timestamp?
    /// When it ended, if it has.
    public var finishedAt: Timestamp?
    /// How it ended: 128 + N after signal N; 0 before its end.
    public var exitCode: Int32 = 0
    /// Its process on the host; 0 if there is none.
    public var pid: UInt32 = 0
    /// Its log's absolute path; empty without one.
    public var logPath: String = ""
    /// The signal that stops it, by name.
    public var stopSignal: String = "SIGTERM"
    /// Its process's user.
    public var uid: UInt32 = 0
    /// Its process's group.
    public var gid: UInt32 = 0
    /// Its process's other groups.
    public var groups: [UInt32] = []
    /// What it runs: entrypoint and arguments.
    public var arguments: [String] = []
    /// The snapshotter of its root file system.
    public var snapshotter: String = ""
    /// The key of its root file system's snapshot.
    public var snapshotKey: SnapshotKey = ""
    /// Makes an info.
    public init(
        id: ContainerID, pod: PodID, namespace: NamespaceID, spec: ContainerSpec, state: ContainerState,
        createdAt: Timestamp
    ) {
        self.id = id
        self.pod = pod
        self.namespace = namespace
        self.spec = spec
        self.state = state
        self.createdAt = createdAt
    }
}
