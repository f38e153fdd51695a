/// A container's configuration, `config.json`. Source: OCI runtime spec 1.3, "Configuration" and "Linux".
package struct OCISpec: Codable, Hashable, Sendable {
    package var ociVersion: String
    package var process: OCIProcess?
    package var root: OCIRoot?
    package var hostname: String?
    package var domainname: String?
    package var mounts: [OCIMount]?
    package var hooks: OCIHooks?
    package var annotations: [String: String]?
    package var linux: OCILinux?

    /// The version of the specification that this code was written against.
    package static let version = "1.3.0"

    package init(ociVersion: String = OCISpec.version) { self.ociVersion = ociVersion }
}

/// Where the container's root file system is.
package struct OCIRoot: Codable, Hashable, Sendable {
    /// A path; relative ones start at the bundle.
    package var path: String
    package var readonly: Bool?

    package init(path: String, readonly: Bool? = nil) {
        self.path = path
        self.readonly = readonly
    }
}

/// One mount below the container's root.
package struct OCIMount: Codable, Hashable, Sendable {
    package var destination: String
    package var type: String?
    package var source: String?
    package var options: [String]?
    package var uidMappings: [OCIIDMapping]?
    package var gidMappings: [OCIIDMapping]?

    package init(destination: String, type: String? = nil, source: String? = nil, options: [String]? = nil) {
        self.destination = destination
        self.type = type
        self.source = source
        self.options = options
    }
}

/// One range of a user or group ID map.
package struct OCIIDMapping: Codable, Hashable, Sendable {
    package var containerID: UInt32
    package var hostID: UInt32
    package var size: UInt32

    package init(containerID: UInt32, hostID: UInt32, size: UInt32) {
        self.containerID = containerID
        self.hostID = hostID
        self.size = size
    }
}

/// Programs that are run at points of the container's life.
package struct OCIHooks: Codable, Hashable, Sendable {
    /// In the runtime's namespaces, after the container's were made, before `pivot_root`. Deprecated.
    package var prestart: [OCIHook]?
    /// As `prestart`, after it.
    package var createRuntime: [OCIHook]?
    /// In the container's namespaces, before `pivot_root`; the path is the runtime's.
    package var createContainer: [OCIHook]?
    /// In the container, right before the user's process.
    package var startContainer: [OCIHook]?
    package var poststart: [OCIHook]?
    package var poststop: [OCIHook]?

    package init() {}
}

/// One program to run as a hook; it gets the container's state on its standard input.
package struct OCIHook: Codable, Hashable, Sendable {
    package var path: String
    package var args: [String]?
    /// The whole environment: nothing is inherited.
    package var env: [String]?
    /// Seconds.
    package var timeout: Int?

    package init(path: String, args: [String]? = nil, env: [String]? = nil, timeout: Int? = nil) {
        self.path = path
        self.args = args
        self.env = env
        self.timeout = timeout
    }
}

/// A container's state as `state` prints it and hooks read it. Source: OCI runtime spec, "State".
package struct OCIState: Codable, Hashable, Sendable {
    /// `creating`, `created`, `running`, `stopped`; and `paused`, which the command-line interface knows.
    package enum Status: String, Codable, Sendable { case creating, created, running, paused, stopped }

    package var ociVersion: String
    package var id: String
    package var status: Status
    package var pid: Int32?
    package var bundle: String
    package var annotations: [String: String]?

    package init(
        id: String, status: Status, pid: Int32?, bundle: String, annotations: [String: String]? = nil
    ) {
        ociVersion = OCISpec.version
        self.id = id
        self.status = status
        self.pid = pid
        self.bundle = bundle
        self.annotations = annotations
    }
}
