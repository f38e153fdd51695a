internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Waits for descriptors, timers and wake-ups, and calls who asked for them: the heart of one thread.
///
/// Not `Sendable`: everything that belongs to a loop is touched by its own thread only.
final class EventLoop {
    /// Called with what a descriptor is ready for.
    typealias Handler = (Readiness) -> Void

    /// Names one timer.
    struct TimerID: Hashable {
        fileprivate let number: UInt64
    }

    private struct Timer {
        let id: TimerID
        let deadline: Int64
        let body: () -> Void
    }

    private let poller: Poller
    private var handlers: [Int32: Handler] = [:]
    private var timers: [Timer] = []
    private var lastTimer: UInt64 = 0
    private var runs = true
    /// Called before each wait, when everything that was ready has been served.
    var beforeWait: () -> Void = {}

    init() throws(Errno) { poller = try Poller() }

    /// Calls `handler` whenever the descriptor is ready, until `forget`.
    func watch(_ fd: Int32, _ interest: Readiness, _ handler: @escaping Handler) throws(Errno) {
        try poller.add(fd, interest)
        handlers[fd] = handler
    }

    /// Waits for something else at a watched descriptor.
    func change(_ fd: Int32, _ interest: Readiness) { try? poller.change(fd, interest) }

    /// Stops watching. To be called before the descriptor is closed.
    func forget(_ fd: Int32) {
        guard handlers.removeValue(forKey: fd) != nil else { return }
        poller.remove(fd)
    }

    /// Calls `body` once after some time.
    @discardableResult
    func after(_ delay: Duration, _ body: @escaping () -> Void) -> TimerID {
        lastTimer += 1
        let id = TimerID(number: lastTimer)
        timers.append(Timer(id: id, deadline: EventLoop.now() + delay.nanoseconds, body: body))
        return id
    }

    /// Forgets a timer; one that was called is success.
    func cancel(_ id: TimerID?) { timers.removeAll { $0.id == id } }

    /// Makes `run` return once what is ready has been served.
    func stop() { runs = false }

    /// Serves until `stop`.
    func run() throws(Errno) {
        while runs {
            beforeWait()
            for (fd, ready) in try poller.wait(patience()) {
                // A handler that was called before may have forgotten this descriptor.
                handlers[fd]?(ready)
            }
            runTimers()
        }
    }

    private func patience() -> Int32 {
        guard let next = timers.map(\.deadline).min() else { return -1 }
        return Int32(clamping: max(0, (next - EventLoop.now() + 999_999) / 1_000_000))
    }

    private func runTimers() {
        guard !timers.isEmpty else { return }
        let now = EventLoop.now()
        let due = timers.filter { $0.deadline <= now }.sorted { $0.deadline < $1.deadline }
        for timer in due where timers.contains(where: { $0.id == timer.id }) {
            timers.removeAll { $0.id == timer.id }
            timer.body()
        }
    }

    /// Nanoseconds of a clock that no one sets.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

extension Duration {
    /// The whole duration in nanoseconds.
    var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
