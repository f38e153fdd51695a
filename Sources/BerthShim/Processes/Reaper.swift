internal import BerthBase
internal import BerthSystem
internal import SystemPackage

/// Reaps every child: those somebody waits for, and orphans that were left to this process as their subreaper.
final class Reaper {
    private let loop: EventLoop
    private let signals: OwnedFD
    private var waiting: [Int32: (ExitOutcome) -> Void] = [:]
    /// Launches under way: their processes are not known yet, and not orphans.
    private var launches = 0
    /// Called for SIGTERM, SIGINT and SIGHUP.
    var onSignal: (Int32) -> Void = { _ in }

    init(loop: EventLoop) throws(Errno) {
        self.loop = loop
        signals = try DaemonProcess.signals()
        try loop.watch(signals.rawValue, .input) { [unowned self] _ in takeSignals() }
    }

    /// Calls `body` once when the child has ended.
    func expect(_ pid: Int32, _ body: @escaping (ExitOutcome) -> Void) {
        waiting[pid] = body
        // It may have ended before: the signal for it is gone.
        loop.after(.zero) { [unowned self] in reap() }
    }

    /// Children that appear until `launchEnded` are not reaped as orphans.
    func launchBegins() { launches += 1 }

    /// The launched process, if there is one, is expected from now on.
    func launchEnded() {
        launches -= 1
        if launches == 0 { loop.after(.zero) { [unowned self] in reap() } }
    }

    private func takeSignals() {
        var sawChild = false
        while let signal = SignalQueue.next(from: signals.rawValue) {
            if signal == Signal.child { sawChild = true } else { onSignal(signal) }
        }
        if sawChild { reap() }
    }

    /// Reaps what has ended. The kernel names one ended child at a time, so an unknown one of a launch hides others:
    /// those that are waited for are asked for by their pids then.
    private func reap() {
        while let ended = try? PidFD.peekEnded() {
            guard waiting[ended.pid] != nil || launches == 0 else { return reapKnown() }
            _ = try? PidFD.reap(pid: ended.pid)
            waiting.removeValue(forKey: ended.pid)?(ended.outcome)
        }
    }

    private func reapKnown() {
        for pid in Array(waiting.keys) {
            guard let outcome = try? PidFD.reapIfEnded(pid: pid) else { continue }
            waiting.removeValue(forKey: pid)?(outcome)
        }
    }
}
