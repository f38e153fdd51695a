internal import BerthBase
internal import BerthSystem
internal import CBerthSystem
internal import Glibc
internal import Synchronization
package import SystemPackage

/// Gets the readiness of one descriptor, on the loop's thread.
package protocol EventHandler: AnyObject, Sendable {
    /// Called on the loop's thread; must neither block nor take long.
    func ready(_ events: EventLoop.Events)
}

/// One thread that waits for descriptors, timers and jobs.
///
/// Descriptors are watched edge-triggered: a handler reads or writes until the kernel says `EAGAIN`. The thread
/// lives until `stop`; a loop that is not stopped stays for the life of the process.
package final class EventLoop: Sendable {
    /// What a descriptor is ready for.
    package struct Events: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let readable = Events(rawValue: 0x1)  // EPOLLIN
        package static let writable = Events(rawValue: 0x4)  // EPOLLOUT
        package static let error = Events(rawValue: 0x8)  // EPOLLERR
        package static let hangup = Events(rawValue: 0x10)  // EPOLLHUP
        package static let peerClosed = Events(rawValue: 0x2000)  // EPOLLRDHUP
    }

    /// Names one watched descriptor.
    package struct Token: Sendable, Hashable { let number: UInt64 }

    private static let wakeToken: UInt64 = 0

    private struct State {
        var handlers: [UInt64: any EventHandler] = [:]
        var nextToken: UInt64 = 1
        var jobs: [@Sendable () -> Void] = []
        var timers = TimerQueue()
        var isWoken = false
        var isStopped = false
    }
    private let state = Mutex(State())
    private let epoll: OwnedFD
    private let wakeup: OwnedFD
    private let thread = Atomic<UInt>(0)

    /// Starts the thread. The process ignores SIGPIPE from then on: a lost peer is an error of the write.
    package init(_ name: String = "berth-io") throws {
        _ = signal(SIGPIPE, SIG_IGN)
        let attempt = "start event loop '\(name)'"
        epoll = OwnedFD(try attempting(attempt) { () throws(Errno) in try result(of: berth_epoll_create()) })
        wakeup = OwnedFD(try attempting(attempt) { () throws(Errno) in try result(of: berth_eventfd()) })
        try attempting(attempt) { () throws(Errno) in
            let readable = Events.readable.rawValue
            _ = try result(
                of: berth_epoll_watch(epoll.rawValue, wakeup.rawValue, readable, 0, Self.wakeToken))
        }
        try LoopThread.start(name) { [self] in work() }
    }

    /// The loop of those who need none of their own; it lives as long as the process.
    package static func ofProcess() throws -> EventLoop {
        try processLoop.withLock { loop in
            if let loop { return loop }
            let new = try EventLoop()
            loop = new
            return new
        }
    }
    private static let processLoop = Shared<EventLoop?>(nil)

    /// Whether the caller runs on the loop's thread.
    package var isCurrent: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// Runs `job` on the loop's thread, after those submitted before it; never after `stop`.
    package func execute(_ job: @escaping @Sendable () -> Void) {
        let wake = state.withLock { state -> Bool in
            state.jobs.append(job)
            return Self.needsWake(&state, isCurrent)
        }
        if wake { ring() }
    }

    /// Runs `job` on the loop's thread once `deadline` has passed.
    @discardableResult
    package func schedule(at deadline: ContinuousClock.Instant, _ job: @escaping @Sendable () -> Void)
        -> TimerID
    {
        let (id, wake) = state.withLock { state -> (TimerID, Bool) in
            let (id, isFirst) = state.timers.add(deadline, job)
            return (id, isFirst && Self.needsWake(&state, isCurrent))
        }
        if wake { ring() }
        return id
    }

    /// Forgets a timer; one that has fired is success.
    package func cancel(_ timer: TimerID) { state.withLock { $0.timers.remove(timer) } }

    /// Watches a descriptor for reading, writing and hang-up, edge-triggered, until `forget`.
    package func watch(_ descriptor: Int32, _ handler: any EventHandler) throws(Errno) -> Token {
        let number = state.withLock { state -> UInt64 in
            let number = state.nextToken
            state.nextToken += 1
            state.handlers[number] = handler
            return number
        }
        do throws(Errno) {
            let events: Events = [.readable, .writable, .peerClosed]
            try result(of: berth_epoll_watch(epoll.rawValue, descriptor, events.rawValue, 1, number))
        } catch {
            state.withLock { _ = $0.handlers.removeValue(forKey: number) }
            throw error
        }
        return Token(number: number)
    }

    /// Ends a watch; to be called before the descriptor is closed. The handler may still be called once.
    package func forget(_ token: Token, _ descriptor: Int32) {
        // A descriptor that is gone already is no failure here.
        _ = berth_epoll_forget(epoll.rawValue, descriptor)
        state.withLock { _ = $0.handlers.removeValue(forKey: token.number) }
    }

    /// Ends the thread after the jobs submitted so far; timers and watches are dropped.
    package func stop() {
        state.withLock { $0.isStopped = true }
        ring()
    }

    private static func needsWake(_ state: inout State, _ isCurrent: Bool) -> Bool {
        if isCurrent || state.isWoken { return false }
        state.isWoken = true
        return true
    }

    private func ring() {
        var one: UInt64 = 1
        // SAFETY: eight bytes are read from a number of eight bytes.
        _ = unsafe write(wakeup.rawValue, &one, 8)
    }

    private func work() {
        thread.store(UInt(pthread_self()), ordering: .relaxed)
        var ready = [berth_event](repeating: berth_event(), count: Int(BERTH_MAX_EVENTS))
        while true {
            guard let timeout = runJobs() else { return }
            // SAFETY: the array has room for as many events as the call returns at most.
            let count = unsafe berth_epoll_wait(epoll.rawValue, &ready, timeout)
            if count > 0 { deliver(ready[..<Int(count)]) }
        }
    }

    /// Runs due timers and all jobs; how long to wait then, in milliseconds, or nil once stopped.
    private func runJobs() -> Int32? {
        while true {
            let (jobs, stopped, timeout) = state.withLock { state -> ([@Sendable () -> Void], Bool, Int32) in
                let now = state.timers.isEmpty ? nil : ContinuousClock.now
                var jobs: [@Sendable () -> Void] = []
                swap(&jobs, &state.jobs)
                if let now { jobs += state.timers.takeDue(now) }
                state.isWoken = false
                return (jobs, state.isStopped, now.map { state.timers.milliseconds(after: $0) } ?? -1)
            }
            for job in jobs { job() }
            if stopped {
                state.withLock { $0.handlers = [:] }
                return nil
            }
            if jobs.isEmpty { return timeout }
        }
    }

    private func deliver(_ ready: ArraySlice<berth_event>) {
        for event in ready {
            if event.token == Self.wakeToken {
                var count: UInt64 = 0
                // SAFETY: eight bytes are written to a number of eight bytes.
                _ = unsafe read(wakeup.rawValue, &count, 8)
                continue
            }
            let handler = state.withLock { $0.handlers[event.token] }
            handler?.ready(Events(rawValue: event.events))
        }
    }
}

/// Turns the `-errno` of a C leaf into an error.
@discardableResult
func result(of call: Int32) throws(Errno) -> Int32 {
    guard call < 0 else { return call }
    throw Errno(rawValue: -call)
}

/// Starts threads that belong to nobody else.
enum LoopThread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    static func start(_ name: String, _ run: @escaping @Sendable () -> Void) throws {
        // SAFETY: the retained body is taken back by the thread, or below if there is none.
        let body = unsafe Unmanaged.passRetained(
            Body {
                // SAFETY: the string lives through the call.
                unsafe berth_name_thread(name)
                run()
            })
        var thread = pthread_self()
        let error = unsafe pthread_create(
            &thread, nil,
            { argument in
                if let argument = unsafe argument {
                    unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                }
                return nil
            }, body.toOpaque())
        guard error == 0 else {
            unsafe body.release()
            throw BerthError(Errno(rawValue: error), "start thread '\(name)'")
        }
        pthread_detach(thread)
    }
}
