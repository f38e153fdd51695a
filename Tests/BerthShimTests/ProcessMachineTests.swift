import BerthBase
import Testing

@testable import BerthShim

@Suite struct ProcessMachineTests {
    private let exit = ProcessExit(status: 3, time: Timestamp(nanoseconds: 5))

    @Test func `an exit is recorded before it is told`() throws {
        var machine = ProcessMachine("task 'x'")
        #expect(try machine.handle(.created(pid: 7)) == [.publishCreate(pid: 7)])
        #expect(try machine.handle(.started(pid: 7)) == [.publishStart(pid: 7)])
        #expect(
            try machine.handle(.exited(exit)) == [
                .recordExit(pid: 7, exit), .publishExit(pid: 7, exit), .answerWaiters(exit),
            ])
        #expect(try machine.handle(.deleted) == [.publishDelete(pid: 7, exit)])
        #expect(machine.phase == .deleted && machine.pid == 0)
    }

    @Test func `what was never started ends as well`() throws {
        var machine = ProcessMachine("task 'x'")
        _ = try machine.handle(.created(pid: 7))
        _ = try machine.handle(.exited(exit))
        #expect { try machine.checkStart() } throws: { "\($0)" == "start task 'x': it is stopped" }
    }

    @Test func `a paused process goes on, and may end`() throws {
        var machine = ProcessMachine("task 'x'")
        _ = try machine.handle(.created(pid: 7))
        _ = try machine.handle(.started(pid: 7))
        #expect(try machine.handle(.paused) == [.publishPaused])
        #expect { try machine.handle(.paused) } throws: { "\($0)" == "task 'x' is paused, it cannot be paused" }
        #expect(try machine.handle(.resumed) == [.publishResumed])
        _ = try machine.handle(.paused)
        _ = try machine.handle(.exited(exit))
        #expect(machine.exit == exit && !machine.isAlive)
    }

    @Test func `what cannot happen changes nothing`() throws {
        var machine = ProcessMachine("task 'x'")
        _ = try machine.handle(.created(pid: 7))
        #expect(throws: BerthError.self) { try machine.handle(.created(pid: 8)) }
        #expect(throws: BerthError.self) { try machine.handle(.deleted) }
        #expect(machine.phase == .created(pid: 7))
        _ = try machine.handle(.exited(exit))
        #expect(throws: BerthError.self) { try machine.handle(.exited(exit)) }
    }
}
