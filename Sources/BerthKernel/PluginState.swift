/// Where a plugin is in its life.
public enum PluginState: Sendable, Hashable, CustomStringConvertible {
    /// Its `start` runs.
    case starting
    /// Works.
    case running
    /// Works with losses.
    case degraded(String)
    /// Its stop steps run.
    case stopping
    /// Has stopped.
    case stopped
    /// This host cannot run it; no failure.
    case skipped(String)
    /// Something it needs did not start.
    case blocked(by: String)
    /// Its `start` threw.
    case failed(String)

    /// The state's name.
    public var name: String {
        switch self {
        case .starting: "starting"
        case .running: "running"
        case .degraded: "degraded"
        case .stopping: "stopping"
        case .stopped: "stopped"
        case .skipped: "skipped"
        case .blocked: "blocked"
        case .failed: "failed"
        }
    }
    /// Why, for the states that have a reason.
    public var reason: String {
        switch self {
        case .degraded(let why), .skipped(let why), .failed(let why): why
        case .blocked(let by): "needs \(by)"
        default: ""
        }
    }
    /// `skipped (no overlayfs)`.
    public var description: String { reason.isEmpty ? name : "\(name) (\(reason))" }
    /// Whether others can use what it provides.
    public var isRunning: Bool {
        switch self {
        case .running, .degraded: true
        default: false
        }
    }
}

/// One plugin as operators see it.
public struct PluginReport: Sendable, Hashable {
    /// Its ID.
    public var id: PluginID
    /// Its state, with the reason.
    public var state: PluginState
    /// The plugins it uses.
    public var requires: [PluginID]
    /// How long its `start` took.
    public var startTime: Duration
    /// Whether the daemon refuses to run without it.
    public var isRequired: Bool
    /// Names of its background work.
    public var background: [String]
}

/// What the kernel tells about itself.
public protocol KernelView: Sendable {
    /// Every enabled plugin, in the order of their start.
    func plugins() -> [PluginReport]
    /// How long the start of all took.
    var startTime: Duration { get }
    /// The versions of the daemon (`berthd`) and of the libraries it has loaded, by name.
    var versions: [String: String] { get }
}

extension ServiceKey where Interface == any KernelView {
    /// The kernel; always there.
    public static var kernel: Self { Self("kernel") }
}
