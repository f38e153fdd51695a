package import BerthOCI
package import BerthSystem
package import SystemPackage

/// What a runtime needs to know about the place it works in.
package struct RuntimeEnvironment: Sendable {
    /// The directory with one subdirectory a container, 0711.
    package var stateRoot: FilePath
    /// The `berth-init` program.
    package var initPath: FilePath
    /// Whether `cgroupsPath` is `slice:prefix:name`. Refused where there is no systemd.
    package var systemdCgroup: Bool
    /// Where compiled seccomp filters are kept, for all containers of the machine if they share it.
    package var cacheRoot: FilePath

    package init(
        stateRoot: FilePath, initPath: FilePath, systemdCgroup: Bool = false, cacheRoot: FilePath? = nil
    ) {
        self.stateRoot = stateRoot
        self.initPath = initPath
        self.systemdCgroup = systemdCgroup
        self.cacheRoot = cacheRoot ?? stateRoot
    }
}

/// Where a container's root comes from.
package enum RootfsSource: Sendable {
    /// A directory of the host, already complete.
    case path(FilePath)
    /// Mounts that are put together detached, so that nothing becomes visible on the host.
    case mounts([OCIMount])
}

/// The standard streams of a process.
package enum ProcessStdio: Sendable {
    /// The caller's own.
    case inherit
    /// Given descriptors, which stay the caller's.
    case descriptors(stdin: Int32, stdout: Int32, stderr: Int32)
    /// A new terminal, whose master comes back as `LaunchedProcess.console`.
    case terminal(OCIConsoleSize?)
}

/// A process that was started as a child of the caller, who reaps it (`waitid` on the pidfd).
package struct LaunchedProcess: ~Copyable {
    package let pid: Int32
    package let pidfd: OwnedFD
    /// The terminal's master, if one was asked for.
    package var console: OwnedFD?
    /// What was asked for and could only be done in part, e.g. a clamped `oom_score_adj`.
    package let warnings: [String]

    package init(pid: Int32, pidfd: consuming OwnedFD, console: consuming OwnedFD?, warnings: [String]) {
        self.pid = pid
        self.pidfd = pidfd
        self.console = console
        self.warnings = warnings
    }

    /// Its parts; the descriptors are the caller's to close.
    package consuming func release() -> (pid: Int32, pidfd: Int32, console: Int32?, warnings: [String]) {
        var number: Int32?
        if let console = console.take() { number = console.release() }
        return (pid, pidfd.release(), number, warnings)
    }
}

/// A new container with its waiting process.
package struct CreatedContainer: ~Copyable {
    package let container: Container
    package var process: LaunchedProcess

    package init(container: Container, process: consuming LaunchedProcess) {
        self.container = container
        self.process = process
    }

    /// The process alone.
    package consuming func releaseProcess() -> LaunchedProcess { process }
}

/// What a container is made from.
package struct ContainerRequest: Sendable {
    package var id: String
    package var bundle: FilePath
    package var spec: OCISpec
    package var rootfs: RootfsSource
    package var stdio: ProcessStdio
    /// Namespaces that the spec names as `pod://…`, as descriptors which stay the caller's.
    package var podNamespaces: [OCINamespaceType: Int32] = [:]
    /// The bytes the specification was read from, to be kept as they are; nil: it is encoded again.
    package var specJSON: [UInt8]?
    /// Whether the specification is written to the state directory, for other programs to load the container.
    package var keepsSpec = true
    package var noPivot = false
    package var noNewKeyring = false
    /// How many descriptors from 3 on the process keeps.
    package var preserveFDs = 0

    package init(id: String, bundle: FilePath, spec: OCISpec, rootfs: RootfsSource, stdio: ProcessStdio) {
        self.id = id
        self.bundle = bundle
        self.spec = spec
        self.rootfs = rootfs
        self.stdio = stdio
    }
}

/// How `Container.exec` starts its process.
package struct ExecRequest: Sendable {
    package var process: OCIProcess
    package var stdio: ProcessStdio
    package var preserveFDs = 0

    package init(process: OCIProcess, stdio: ProcessStdio) {
        self.process = process
        self.stdio = stdio
    }
}
