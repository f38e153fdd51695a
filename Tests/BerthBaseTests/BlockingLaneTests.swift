import BerthBase
import Glibc
import Testing

@Suite struct BlockingLaneTests {
    @Test func `calls that hang hold up no other lane, nor one another`() async throws {
        let (stuck, free) = (Blocking.Lane("stuck", width: 24), Blocking.Lane("free", width: 2))
        let before = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<24 { group.addTask { try await Blocking.run(on: stuck) { _ = usleep(600_000) } } }
            try await Task.sleep(for: .milliseconds(50))
            let asked = ContinuousClock.now
            try await Blocking.run(on: free) {}
            #expect(asked.duration(to: .now) < .milliseconds(400))
            try await group.waitForAll()
        }
        // All 24 ran at once: one after the other on two cores they would take seconds.
        #expect(before.duration(to: .now) < .milliseconds(1800))
    }

    @Test func `a call past its deadline is abandoned, counted and replaced`() async throws {
        let lane = Blocking.Lane("narrow", width: 1)
        do {
            try await Blocking.run(on: lane, "sleep", deadline: .milliseconds(500)) { _ = usleep(2_000_000) }
            Issue.record("it ended well")
        } catch let error as BerthError {
            #expect(error.code == .deadlineExceeded)
            #expect(error.message.hasPrefix("sleep: no answer within"))
        }
        #expect(lane.stuck == 1)
        try await Blocking.run(on: lane) {}
        for _ in 0..<400 where lane.stuck != 0 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(lane.stuck == 0)
        try await Blocking.run(on: lane) {}
    }
}
