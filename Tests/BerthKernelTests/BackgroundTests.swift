import BerthBase
import BerthKernel
import Testing

/// Background work, health, deadlines of the stop.
@Suite struct BackgroundTests {
    let world: World
    init() throws { world = try World() }

    private func worker(_ body: @escaping @Sendable (PluginContext<NoConfig>) async throws -> Void) -> Plugin {
        Plugin("a", provides: .dock, config: NoConfig.self) { context in
            try await body(context)
            return Boat(name: "a")
        }
    }

    private var hasty: Kernel.Patience {
        var patience = Kernel.Patience()
        patience.stop = .milliseconds(100)
        patience.stopAll = .milliseconds(250)
        return patience
    }

    @Test func `background work begins when all have started and ends with the plugin`() async throws {
        let diary = world.diary
        let first = worker { context in
            context.run("tick") {
                diary.note("tick")
                do { try await Task.sleep(for: .seconds(60)) } catch { diary.note("cancelled") }
            }
            context.onStop("close") { diary.note("close") }
        }
        let kernel = try world.kernel([first, world.plugin("z", .harbour)])
        try await kernel.start()
        while !diary.all.contains("tick") { await Task.yield() }
        #expect(world.report("dock.a", kernel)?.background == ["tick"])
        await kernel.stop()
        #expect(diary.all == ["start harbour.z", "tick", "stop harbour.z", "cancelled", "close"])
    }

    @Test func `background work that throws degrades its plugin by name`() async throws {
        let kernel = try world.kernel([worker { $0.run("tick") { throw Failed(description: "no wind") } }])
        try await kernel.start()
        let state = await world.state(of: "dock.a", in: kernel) { $0 != .running }
        #expect(state == .degraded("tick: no wind"))
        await kernel.stop()
        #expect(world.report("dock.a", kernel)?.state == .stopped)
    }

    @Test func `health of the start is shown, changes, and does not hide failed work`() async throws {
        let (turns, turn) = AsyncStream<Void>.makeStream()
        let kernel = try world.kernel([
            worker { context in
                context.report(.degraded("half full"))
                context.run("recover") {
                    for await _ in turns { break }
                    context.report(.healthy)
                    context.run("late") { throw Failed(description: "sank") }
                }
            }
        ])
        try await kernel.start()
        #expect(world.report("dock.a", kernel)?.state == .degraded("half full"))
        turn.yield()
        #expect(
            await world.state(of: "dock.a", in: kernel) { $0 == .degraded("late: sank") } == .degraded("late: sank"))
        await kernel.stop()
    }

    @Test func `a stop step that hangs is left behind and named, the others run`() async throws {
        let diary = world.diary
        let kernel = try world.kernel(
            [
                worker { context in
                    context.onStop("last") { diary.note("last") }
                    context.onStop("hang") { try? await Task.sleep(for: .seconds(3600)) }
                    context.run("stubborn") {
                        await withCheckedContinuation { continuation in
                            Task {
                                try? await Task.sleep(for: .seconds(2))
                                continuation.resume()
                            }
                        }
                    }
                },
                world.plugin("z", .harbour, needs: .one(.dock)),
            ], patience: hasty)
        try await kernel.start()
        let begin = ContinuousClock.now
        await kernel.stop()
        #expect(.now - begin < .seconds(30))
        #expect(world.report("dock.a", kernel)?.state == .failed("did not stop: stubborn, hang"))
        #expect(world.report("harbour.z", kernel)?.state == .stopped)
        while !diary.all.contains("last") { await Task.yield() }
    }

    @Test func `all plugins together have a deadline`() async throws {
        let keys = (0..<20).map { ServiceKey<Int>("hang\($0)") }
        let plugins = keys.map { key in
            Plugin("x", provides: key, config: NoConfig.self) { context in
                context.onStop("hang") { try? await Task.sleep(for: .seconds(3600)) }
                return 1
            }
        }
        var patience = Kernel.Patience()
        patience.stop = .seconds(60)
        patience.stopAll = .milliseconds(250)
        let kernel = try world.kernel(plugins, patience: patience)
        try await kernel.start()
        let begin = ContinuousClock.now
        await kernel.stop()
        #expect(.now - begin < .seconds(50), "20 plugins of 60 s each would take 20 minutes")
        #expect(world.report("hang7.x", kernel)?.state == .failed("did not stop: hang"))
    }

    @Test func `a stop goes through although its caller is cancelled`() async throws {
        let kernel = try world.kernel([world.plugin("a", .dock)])
        try await kernel.start()
        let stop = Task {
            while !Task.isCancelled { await Task.yield() }
            await kernel.stop()
        }
        stop.cancel()
        await stop.value
        #expect(world.diary.all == ["start dock.a", "stop dock.a"])
        #expect(world.report("dock.a", kernel)?.state == .stopped)
    }
}
