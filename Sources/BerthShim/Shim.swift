internal import BerthBase
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// What a shim needs to know of the place it works in.
struct ShimContext {
    var namespace: String
    /// The ID it was started for: of the pod, or of a lone container.
    var id: String
    /// The bundle it was started in.
    var bundle: String
    /// Its own socket.
    var socketPath: String
    /// The daemon's sockets and program, for events.
    var eventsAddress: String
    var grpcAddress: String
    var publisher: String
    var initPath: String
    var cacheRoot: String
}

/// The shim: owns what runs in one pod, or in one container, and answers for it.
///
/// Everything here happens on the control loop's thread. What may block is offloaded, what is copied is the relay's.
final class Shim {
    /// How long the last words of a process may take to reach its log before its exit is told anyway.
    static let flushPatience = Duration.milliseconds(500)
    /// How long the relay may take to end before a delete is answered anyway.
    static let relayPatience = Duration.seconds(2)
    /// How long a shim stays that never got anything to do and has no client.
    static let idlePatience = Duration.seconds(60)
    /// How long after some work the heap is trimmed.
    static let trimPause = Duration.milliseconds(100)
    /// How long events may take to be delivered after Shutdown.
    static let farewellPatience = Duration.seconds(3)

    let context: ShimContext
    let loop: EventLoop
    let relay: LogRelay
    let reaper: Reaper
    let offload: Offload
    let events: EventSink
    let log: ShimLog
    var tasks: [String: RunningTask] = [:]
    var sandbox: Sandbox?
    var journal: ExitJournal
    var server: RPCServer?
    var exitWaiters: [(call: RPCCall, after: UInt64)] = []
    var runningExecs: [ObjectIdentifier: SyncExec] = [:]
    private var tokens: [UInt64: (BerthError?) -> Void] = [:]
    private var lastToken: UInt64 = 0
    private var relayEnds: [RelayID: () -> Void] = [:]
    private var isLeaving = false
    /// Whether calls were served since the heap was trimmed.
    var needsTrim = true
    private var trimTimer: EventLoop.TimerID?

    init(_ context: ShimContext, listener: consuming OwnedFD) throws {
        self.context = context
        loop = try EventLoop()
        relay = try LogRelay()
        reaper = try Reaper(loop: loop)
        offload = try Offload(loop: loop)
        log = ShimLog(bundle: context.bundle)
        events = EventSink(context, loop: loop, reaper: reaper)
        journal = ExitJournal(folder: context.bundle)
        let server = try RPCServer(listener, loop: loop) { [unowned self] call in route(call) }
        self.server = server
        try loop.watch(relay.descriptor, .input) { [unowned self] _ in hearRelay() }
        offload.onCount = { [unowned self] change in
            if change > 0 { reaper.launchBegins() } else { reaper.launchEnded() }
        }
        reaper.onSignal = { [unowned self] signal in
            // A shim outlives whoever sends it SIGHUP or SIGINT; SIGTERM asks it to go if nothing runs.
            if signal == Signal.terminate { leaveIfEmpty() }
        }
        watchIdleness()
    }

    /// Serves until Shutdown.
    func run() throws {
        loop.beforeWait = { [unowned self] in trimWhenQuiet() }
        try loop.run()
        unlink(context.socketPath)
    }

    /// After a burst of work, what it took is given back: most of a shim's life is sleep.
    private func trimWhenQuiet() {
        guard needsTrim, trimTimer == nil else { return }
        needsTrim = false
        trimTimer = loop.after(Shim.trimPause) { [unowned self] in
            trimTimer = nil
            DaemonProcess.trimHeap()
        }
    }

    /// The runtime's place for a task: everything it keeps is in the bundle, and goes with it.
    func environment(bundle: String) -> RuntimeEnvironment {
        RuntimeEnvironment(
            stateRoot: FilePath(bundle + "/runtime"), initPath: FilePath(context.initPath),
            cacheRoot: FilePath(context.cacheRoot))
    }

    /// - Throws: `notFound`.
    func task(_ id: String) throws(BerthError) -> RunningTask {
        guard let task = tasks[id] else { throw BerthError(.notFound, "task '\(id)' does not exist") }
        return task
    }

    /// - Throws: `notFound`.
    func process(_ id: String, _ execID: String) throws(BerthError) -> RunningProcess {
        try task(id).process(execID)
    }

    // MARK: The relay

    private func hearRelay() {
        for notice in relay.notices() {
            switch notice {
            case .ended(let id): relayEnds.removeValue(forKey: id)?()
            case .done(let token, let error): tokens.removeValue(forKey: token)?(error)
            }
        }
    }

    /// Asks the relay for something; `body` is called once, at the latest after `patience`.
    func ask(
        within patience: Duration, _ command: (UInt64) -> RelayCommand, then body: @escaping (BerthError?) -> Void
    ) {
        lastToken += 1
        let token = lastToken
        tokens[token] = body
        relay.send(command(token))
        loop.after(patience) { [unowned self] in
            tokens.removeValue(forKey: token)?(
                BerthError(.deadlineExceeded, "the log's disk did not answer within \(patience)"))
        }
    }

    /// Ends a process's streams; `body` is called when what they held is written, at the latest after `relayPatience`.
    func end(_ streams: ProcessStreams?, then body: @escaping () -> Void) {
        guard let streams, let id = streams.relayID else {
            streams?.close()
            return body()
        }
        relayEnds[id] = body
        streams.close()
        loop.after(Shim.relayPatience) { [unowned self] in relayEnds.removeValue(forKey: id)?() }
    }

    // MARK: The end

    private func watchIdleness() {
        loop.after(Shim.idlePatience) { [unowned self] in
            if tasks.isEmpty, sandbox == nil, server?.isIdle == true { loop.stop() } else { watchIdleness() }
        }
    }

    func leaveIfEmpty() { if tasks.isEmpty, sandbox == nil { leave() } }

    /// Ends the shim once the events are delivered, or nobody has taken them for a while.
    func leave() {
        guard !isLeaving else { return }
        isLeaving = true
        // Nobody finds this shim any more: a new one may take the path.
        unlink(context.socketPath)
        let stop = { [loop] in _ = loop.after(.milliseconds(10)) { loop.stop() } }
        if events.isIdle { return stop() }
        events.onIdle = stop
        loop.after(Shim.farewellPatience, stop)
    }
}
