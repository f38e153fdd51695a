import BerthBase
import BerthServices
import BerthTestSupport
import Logging
import Testing

@testable import MetadataPlugins

/// A table on a clock that stands still.
private struct TableWorld: Sendable {
    let clock = ManualClock()
    let table: JoiningOperationTable

    init(_ change: (inout OperationsConfig) -> Void = { _ in }) {
        var config = OperationsConfig()
        change(&config)
        table = JoiningOperationTable(config: config, clock: clock, logger: Logger(label: "test"))
    }

    func key(_ identity: String = "pod", _ fingerprint: String = "") -> OperationKey {
        OperationKey(
            kind: "RunPodSandbox", identity: identity, fingerprint: fingerprint, subject: identity, caller: "test")
    }

    func until(_ condition: @Sendable ([OperationInfo]) -> Bool) async {
        while await !condition(table.list()) { await Task.yield() }
    }
}

/// A door that bodies wait at; it ignores cancellation, as a hung call does.
private actor Door {
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    private(set) var passed = 0

    func pass() async {
        if !isOpen { await withCheckedContinuation { waiting.append($0) } }
        passed += 1
    }
    func open() {
        isOpen = true
        for one in waiting { one.resume() }
        waiting = []
    }
}

@Suite struct OperationsTests {
    @Test func `a retried call joins the one under way and both get its result`() async throws {
        let world = TableWorld()
        let door = Door()
        let calls = Shared(0)
        let run: @Sendable () async throws -> Int = {
            try await world.table.run(world.key(), deadline: .seconds(60), abandon: nil) { _ in
                calls.withLock { $0 += 1 }
                await door.pass()
                return 7
            }
        }
        async let first = run()
        await world.until { $0.first?.waiters == 1 }
        async let second = run()
        await world.until { $0.first?.waiters == 2 }
        await door.open()
        #expect(try await first == 7)
        #expect(try await second == 7)
        #expect(calls.withLock { $0 } == 1)
        #expect(await world.table.list().isEmpty)
    }

    @Test func `another configuration under the same identity is refused, naming the one under way`() async throws {
        let world = TableWorld()
        let door = Door()
        async let first: Void = world.table.run(world.key("web", "a"), deadline: .seconds(60), abandon: nil) { stage in
            stage.enter("network", waitingFor: "CNI ADD")
            await door.pass()
        }
        await world.until { $0.first?.stage == "network" }
        let error = await #expect(throws: BerthError.self) {
            try await world.table.run(world.key("web", "b"), deadline: .seconds(60), abandon: nil) { _ in }
        }
        #expect(error?.code == .alreadyExists)
        #expect(error?.message.contains("operation 1") == true)
        #expect(error?.message.contains("stage 'network'") == true)
        await door.open()
        try await first
    }

    @Test func `the same identity of another kind is another operation`() async throws {
        let world = TableWorld()
        let door = Door()
        async let first: Void = world.table.run(world.key(), deadline: .seconds(60), abandon: nil) { _ in
            await door.pass()
        }
        await world.until { $0.count == 1 }
        let other = OperationKey(kind: "StopPodSandbox", identity: "pod", subject: "pod")
        #expect(try await world.table.run(other, deadline: .seconds(60), abandon: nil) { _ in 3 } == 3)
        await door.open()
        try await first
    }

    @Test func `a caller that gives up detaches, and its retry takes the result`() async throws {
        let world = TableWorld()
        let door = Door()
        let undone = Shared(0)
        let abandon: @Sendable (Int) async -> Void = { value in undone.withLock { $0 += value } }
        let caller = Task {
            try await world.table.run(world.key(), deadline: .seconds(60), abandon: abandon) { _ in
                await door.pass()
                return 5
            }
        }
        await world.until { $0.first?.waiters == 1 }
        caller.cancel()
        await #expect(throws: CancellationError.self) { try await caller.value }
        await world.until { $0.first?.waiters == 0 }
        await door.open()
        await world.until { $0.first?.stage == "done" }
        let again = try await world.table.run(world.key(), deadline: .seconds(60), abandon: abandon) { _ in 99 }
        #expect(again == 5)
        #expect(await world.table.list().isEmpty)
        world.clock.advance(by: .seconds(700))
        #expect(undone.withLock { $0 } == 0)
    }

    @Test func `a result nobody takes is undone after ten minutes and not before`() async throws {
        let world = TableWorld()
        let undone = Shared<[Int]>([])
        let door = Door()
        let caller = Task {
            try await world.table.run(
                world.key(), deadline: .seconds(60), abandon: { (value: Int) in undone.withLock { $0.append(value) } }
            ) { _ in
                await door.pass()
                return 5
            }
        }
        await world.until { $0.first?.waiters == 1 }
        caller.cancel()
        await world.until { $0.first?.waiters == 0 }
        await door.open()
        await world.until { $0.first?.stage == "done" }
        await world.clock.waitForSleepers(1)
        world.clock.advance(by: .seconds(599))
        #expect(await world.table.list().count == 1)
        #expect(undone.withLock { $0 }.isEmpty)
        world.clock.advance(by: .seconds(1))
        await world.until { $0.isEmpty }
        #expect(undone.withLock { $0 } == [5])
    }

    @Test func `a kept result of another configuration is undone before the new one begins`() async throws {
        let world = TableWorld()
        let order = Shared<[String]>([])
        let door = Door()
        let caller = Task {
            try await world.table.run(
                world.key("web", "a"), deadline: .seconds(60),
                abandon: { (_: Int) in order.withLock { $0.append("undone") } }
            ) { _ in
                await door.pass()
                return 1
            }
        }
        await world.until { $0.first?.waiters == 1 }
        caller.cancel()
        await world.until { $0.first?.waiters == 0 }
        await door.open()
        await world.until { $0.first?.stage == "done" }
        let value = try await world.table.run(world.key("web", "b"), deadline: .seconds(60), abandon: nil) { _ in
            order.withLock { $0.append("begun") }
            return 2
        }
        #expect(value == 2)
        #expect(order.withLock { $0 } == ["undone", "begun"])
    }

    @Test func `the deadline is named with its stage and what it waited for`() async throws {
        let world = TableWorld()
        let call = Task {
            try await world.table.run(world.key("web"), deadline: .seconds(30), abandon: nil) { stage in
                stage.enter("network", waitingFor: "plugin 'bridge'")
                try await Task.sleep(for: .seconds(600))
            }
        }
        await world.until { $0.first?.stage == "network" }
        await world.clock.waitForSleepers(1)
        world.clock.advance(by: .seconds(30))
        let error = await #expect(throws: BerthError.self) { try await call.value }
        #expect(error?.code == .deadlineExceeded)
        #expect(
            error?.message
                == "RunPodSandbox 'web' (operation 1): not done within 30.0 seconds; it is at stage 'network', waiting for plugin 'bridge'"
        )
        await world.until { $0.isEmpty }
    }

    @Test func `a body that does not heed its deadline stays listed, and its successor waits for it`() async throws {
        let world = TableWorld()
        let door = Door()
        let undone = Shared(0)
        let call = Task {
            try await world.table.run(
                world.key(), deadline: .seconds(30), abandon: { (_: Int) in undone.withLock { $0 += 1 } }
            ) { _ in
                await door.pass()
                return 1
            }
        }
        await world.until { $0.first?.waiters == 1 }
        await world.clock.waitForSleepers(1)
        world.clock.advance(by: .seconds(30))
        await #expect(throws: BerthError.self) { try await call.value }
        #expect(await world.table.list().first?.stage.hasPrefix("cancelled at its deadline") == true)
        async let second = world.table.run(world.key(), deadline: .seconds(30), abandon: nil) { _ in
            // The first one's late result has been undone by now.
            undone.withLock { $0 }
        }
        await world.until { $0.last?.stage == "waiting for its turn" }
        await door.open()
        #expect(try await second == 1)
        #expect(await world.table.list().isEmpty)
    }

    @Test func `an error reaches every caller and is not kept`() async throws {
        let world = TableWorld()
        await #expect(throws: BerthError.self) {
            try await world.table.run(world.key(), deadline: .seconds(60), abandon: nil) { _ in
                throw BerthError(.notFound, "no such image")
            }
        }
        #expect(try await world.table.run(world.key(), deadline: .seconds(60), abandon: nil) { _ in 1 } == 1)
    }

    @Test func `more operations and more waiters than the limits are refused`() async throws {
        let world = TableWorld {
            $0.maxOperations = 1
            $0.maxWaiters = 1
        }
        let door = Door()
        async let first: Void = world.table.run(world.key(), deadline: .seconds(60), abandon: nil) { _ in
            await door.pass()
        }
        await world.until { $0.count == 1 }
        for identity in ["pod", "other"] {
            let error = await #expect(throws: BerthError.self) {
                try await world.table.run(world.key(identity), deadline: .seconds(60), abandon: nil) { _ in }
            }
            #expect(error?.code == .resourceExhausted)
        }
        await door.open()
        try await first
    }

    @Test func `closing cancels what runs and refuses what is new`() async throws {
        let world = TableWorld()
        let call = Task {
            try await world.table.run(world.key(), deadline: .seconds(60), abandon: nil) { _ in
                try await Task.sleep(for: .seconds(600))
            }
        }
        await world.until { $0.count == 1 }
        await world.table.close()
        await #expect(throws: CancellationError.self) { try await call.value }
        let error = await #expect(throws: BerthError.self) {
            try await world.table.run(world.key(), deadline: .seconds(60), abandon: nil) { _ in }
        }
        #expect(error?.code == .unavailable)
    }
}
