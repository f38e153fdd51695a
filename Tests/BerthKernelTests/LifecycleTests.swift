import BerthBase
import BerthKernel
import Testing

@Suite struct LifecycleTests {
    let world: World
    init() throws { world = try World() }

    @Test func `plugins start in order, work, and stop in reverse`() async throws {
        let kernel = try world.kernel([
            world.plugin("c", .harbour, needs: .one(.crane), .one(.dock)),
            world.plugin("b", .crane, needs: .one(.dock)),
            world.plugin("a", .dock),
        ])
        try await kernel.start()
        #expect(kernel.view.plugins().map(\.id.description) == ["dock.a", "crane.b", "harbour.c", "kernel.registry"])
        #expect(kernel.view.plugins().allSatisfy { $0.state == .running })
        #expect(kernel.view.startTime > .zero)
        await kernel.stop()
        #expect(kernel.view.plugins().allSatisfy { $0.state == .stopped })
        await kernel.stop()
        #expect(
            world.diary.all == [
                "start dock.a", "start crane.b", "start harbour.c", "stop harbour.c", "stop crane.b", "stop dock.a",
            ])
    }

    @Test func `a plugin gets what it declares`() async throws {
        let diary = world.diary
        let taker = Plugin(
            "t", provides: .harbour, config: NoConfig.self, requires: .one(.crane), .all(.dock), .optional(.harbour2)
        ) { context, crane, docks, none in
            diary.note(
                "\(crane.name) \(docks.names) \(docks["b"]?.name ?? "") \(docks["x"]?.name ?? "-") \(none?.name ?? "nil")"
            )
            return Boat(name: "t")
        }
        let kernel = try world.kernel([
            world.plugin("b", .dock), world.plugin("a", .dock), world.plugin("k", .crane), taker,
        ])
        try await kernel.start()
        await kernel.stop()
        #expect(diary.all.contains("k [\"a\", \"b\"] b - nil"))
    }

    @Test func `a failed plugin blocks those that need it and leaves the rest running`() async throws {
        let kernel = try world.kernel([
            world.plugin("a", .dock, fails: Failed(description: "no water")),
            world.plugin("b", .crane, needs: .one(.dock)),
            world.plugin("c", .harbour, needs: .optional(.dock), .all(.crane)),
            Plugin("d", provides: ServiceKey<Int>("deep"), config: NoConfig.self, requires: .one(.crane)) { _, _ in 1 },
        ])
        try await kernel.start()
        let states = kernel.view.plugins().map { "\($0.id) \($0.state)" }
        #expect(
            states == [
                "dock.a failed (no water)", "crane.b blocked (needs 'dock.a', which is failed)",
                "deep.d blocked (needs 'crane.b', which is blocked)", "harbour.c running", "kernel.registry running",
            ])
        #expect(
            world.diary.all == ["start dock.a", "stop dock.a", "start harbour.c"], "what had started of it is undone")
        await kernel.stop()
    }

    @Test func `a skipped plugin is no failure`() async throws {
        let kernel = try world.kernel([
            world.plugin("a", .dock, fails: PluginSkipped("this host has no sea")),
            world.plugin("b", .crane, needs: .all(.dock)),
        ])
        try await kernel.start()
        #expect(world.report("dock.a", kernel)?.state == .skipped("this host has no sea"))
        #expect(world.report("crane.b", kernel)?.state == .running)
        await kernel.stop()
    }

    @Test(arguments: [
        (
            Failed(description: "no water") as any Error,
            "a required plugin does not run: 'harbour.c' is failed (no water)"
        ),
        (PluginSkipped("no sea"), "a required plugin does not run: 'harbour.c' is skipped (no sea)"),
    ])
    func `a required plugin that does not run unwinds all`(_ error: any Error, _ message: String) async throws {
        let kernel = try world.kernel(
            [world.plugin("a", .dock), world.plugin("c", .harbour, needs: .one(.dock), fails: error)],
            required: ["harbour.c"])
        let thrown = await #expect(throws: BerthError.self) { try await kernel.start() }
        #expect(thrown?.code == .failedPrecondition)
        #expect(thrown?.message == message)
        #expect(world.diary.all == ["start dock.a", "start harbour.c", "stop harbour.c", "stop dock.a"])
        #expect(world.report("dock.a", kernel)?.state == .stopped)
    }

    @Test func `a required plugin that is blocked names what blocks it`() async throws {
        let kernel = try world.kernel(
            [
                world.plugin("a", .dock, fails: Failed(description: "no water")),
                world.plugin("b", .crane, needs: .one(.dock)),
            ], required: ["crane.b"])
        let thrown = await #expect(throws: BerthError.self) { try await kernel.start() }
        #expect(
            thrown?.message == "a required plugin does not run: 'crane.b' is blocked (needs 'dock.a', which is failed)")
    }

    @Test func `a start that is cancelled unwinds and goes no further`() async throws {
        let (reached, signal) = AsyncStream<Void>.makeStream()
        let diary = world.diary
        let slow = Plugin("b", provides: .crane, config: NoConfig.self, requires: .one(.dock)) { _, dock in
            signal.yield()
            try await Task.sleep(for: .seconds(60))
            return dock
        }
        let kernel = try world.kernel([
            world.plugin("a", .dock), slow, world.plugin("c", .harbour, needs: .all(.crane)),
        ])
        let start = Task { try await kernel.start() }
        for await _ in reached { break }
        start.cancel()
        let thrown = await #expect(throws: BerthError.self) { try await start.value }
        #expect(thrown?.code == .cancelled)
        #expect(diary.all == ["start dock.a", "stop dock.a"])
    }

    @Test func `every plugin has folders of its own, and wrong modes are corrected`() async throws {
        try world.folder.write("root/dock.a/kept", "x")
        try world.folder.write("state/dock.a/kept", "x")
        let open = world.plugin("open", .crane).openingState()
        let kernel = try world.kernel([world.plugin("a", .dock), open])
        try await kernel.start()
        #expect(world.folder.mode("root/dock.a") == 0o700)
        #expect(world.folder.mode("state/dock.a") == 0o700)
        #expect(world.folder.mode("root/crane.open") == 0o700)
        #expect(world.folder.mode("state/crane.open") == 0o711)
        #expect(world.folder.names(world.folder.path + "/root/dock.a") == ["kept"])
        await kernel.stop()
    }

    @Test func `the kernel itself is a service`() async throws {
        let diary = world.diary
        let asker = Plugin("a", provides: .dock, config: NoConfig.self, requires: .one(.kernel)) { context, kernel in
            context.run("ask") { diary.note(kernel.plugins().map(\.id.description).joined(separator: " ")) }
            return Boat(name: "a")
        }
        let kernel = try world.kernel([asker])
        try await kernel.start()
        await kernel.stop()
        #expect(diary.all == ["kernel.registry dock.a"])
    }
}

extension ServiceKey where Interface == any Ship {
    static var harbour2: Self { Self("second-harbour") }
}
