import BerthBase
import Glibc
import Testing

@Suite struct BlockingLaneTests {
    /// Every call waits for all the others and for the one of the other lane: if one of them had no thread, none would
    /// end, and the time limit would tell; at one more thread a second, as a shared pool grows, too.
    @Test(.timeLimit(.minutes(1))) func `calls that hang hold up no other lane, nor one another`() async throws {
        let (stuck, free) = (Blocking.Lane("stuck", width: 80), Blocking.Lane("free", width: 2))
        let begun = Shared(0), isFree = Shared(false)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<80 {
                group.addTask {
                    try await Blocking.run(on: stuck) {
                        begun.withLock { $0 += 1 }
                        Self.block { begun.withLock { $0 } >= 80 && isFree.withLock { $0 } }
                    }
                }
            }
            while begun.withLock({ $0 }) < 80 { try await Task.sleep(for: .milliseconds(1)) }
            try await Blocking.run(on: free) { isFree.withLock { $0 = true } }
            try await group.waitForAll()
        }
    }

    @Test func `a call past its deadline is abandoned, counted and replaced`() async throws {
        let lane = Blocking.Lane("narrow", width: 1), isReleased = Shared(false)
        do {
            try await Blocking.run(on: lane, "sleep", deadline: .milliseconds(500)) {
                Self.block { isReleased.withLock { $0 } }
            }
            Issue.record("it ended well")
        } catch let error as BerthError {
            #expect(error.code == .deadlineExceeded)
            #expect(error.message.hasPrefix("sleep: no answer within"))
        }
        #expect(lane.stuck == 1)
        try await Blocking.run(on: lane) {}
        isReleased.withLock { $0 = true }
        for _ in 0..<400 where lane.stuck != 0 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(lane.stuck == 0)
        try await Blocking.run(on: lane) {}
    }

    /// Holds the thread until something is true, at most a minute, so that a failure ends too.
    private static func block(until isDone: () -> Bool) {
        for _ in 0..<60_000 {
            if isDone() { return }
            usleep(1000)
        }
        Issue.record("a call had no thread for a minute")
    }
}
