import BerthBase
import BerthSystem
import Glibc
import SystemPackage
import Testing

@testable import BerthIO

@Suite struct EventLoopTests {
    @Test(.timeLimit(.minutes(1))) func `jobs run in order on the loop's thread`() async throws {
        let world = try World()
        let (loop, order) = (world.loop, Shared<[Int]>([]))
        for number in 1...1000 {
            loop.execute { if loop.isCurrent { order.withLock { $0.append(number) } } }
        }
        await withCheckedContinuation { done in loop.execute { done.resume() } }
        #expect(order.withLock { $0 } == Array(1...1000))
        #expect(!loop.isCurrent)
    }

    @Test(.timeLimit(.minutes(1))) func `timers fire in the order of their deadlines, cancelled ones never`()
        async throws
    {
        let world = try World()
        let (loop, order) = (world.loop, Shared<[Int]>([]))
        let now = ContinuousClock.now
        for number in [30, 10, 20] {
            loop.schedule(at: now + .milliseconds(number)) { order.withLock { $0.append(number) } }
        }
        let never = loop.schedule(at: now + .milliseconds(15)) { order.withLock { $0.append(15) } }
        loop.cancel(never)
        await withCheckedContinuation { done in loop.schedule(at: now + .milliseconds(40)) { done.resume() } }
        #expect(order.withLock { $0 } == [10, 20, 30])
        #expect(ContinuousClock.now - now >= .milliseconds(40))
    }

    @Test func `removed timers do not pile up`() {
        var timers = TimerQueue()
        for _ in 0..<10_000 {
            let (id, _) = timers.add(.now + .seconds(120), {})
            timers.remove(id)
        }
        #expect(timers.entries <= TimerQueue.slack + 1)
        #expect(timers.isEmpty)
    }

    @Test func `timers come out sorted`() {
        var timers = TimerQueue()
        let start = ContinuousClock.now
        let order = Shared<[Int]>([])
        for number in (0..<500).shuffled() {
            _ = timers.add(start + .milliseconds(number)) { order.withLock { $0.append(number) } }
        }
        for job in timers.takeDue(start + .seconds(1)) { job() }
        #expect(order.withLock { $0 } == Array(0..<500))
    }

    @Test(.timeLimit(.minutes(1))) func `the end of a process is awaited by its pidfd`() async throws {
        let world = try World()
        var pid: pid_t = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("60"), nil]
        defer { for argument in arguments { free(argument) } }
        #expect(posix_spawn(&pid, "/bin/sleep", nil, nil, &arguments, nil) == 0)
        let pidfd = try PidFD.open(pid)
        let loop = world.loop
        let cancelled = Task { [number = pidfd.rawValue] in try await loop.exited(number) }
        cancelled.cancel()
        #expect(await code { try await cancelled.value } == .cancelled)
        let ended = Task { [number = pidfd.rawValue] in try await loop.exited(number) }
        try await Task.sleep(for: .milliseconds(10))
        try PidFD.signal(pidfd.rawValue, SIGKILL)
        try await ended.value
        #expect(try PidFD.reap(pidfd.rawValue) == .signaled(SIGKILL, coreDumped: false))
    }

    @Test(.timeLimit(.minutes(1))) func `a stopped loop runs nothing more`() async throws {
        let loop = try EventLoop("test-stop")
        await withCheckedContinuation { done in loop.execute { done.resume() } }
        loop.stop()
        try await Task.sleep(for: .milliseconds(20))
        let ran = Shared(false)
        loop.execute { ran.withLock { $0 = true } }
        try await Task.sleep(for: .milliseconds(20))
        #expect(!ran.withLock { $0 })
    }
}
