import BerthBase
import BerthKernel
import Testing

@Suite struct ReloadTests {
    let world: World
    init() throws { world = try World() }

    private func boat(refusing limit: Int = 100) -> Plugin {
        let diary = world.diary
        return Plugin("boat", provides: .dock, config: BoatConfig.self) { context in
            context.onReload { config in
                guard config.length < limit else { throw Failed(description: "too long to turn") }
                diary.note("length \(config.length) colours \(config.colours)")
            }
            diary.note("start with \(context.config.length)")
            return Boat(name: "boat")
        }
    }

    private func changes(_ plugins: [Plugin], from before: String, to after: String, patience: Int = 0) async throws
        -> Set<Kernel.Change>
    {
        let kernel = try world.kernel(plugins, more: before)
        try await kernel.start()
        let changes = try await kernel.reload(plugins, try world.configuration(plugins, more: after))
        await kernel.stop()
        return Set(changes)
    }

    @Test func `what can be applied is, and the rest is named`() async throws {
        let found = try await changes(
            [boat()], from: "[plugin.dock.boat]\nlength = 4", to: "[plugin.dock.boat]\nlength = 5\ncolours = []")
        #expect(
            found == [
                Kernel.Change("plugin.dock.boat.length", applied: true),
                Kernel.Change("plugin.dock.boat.colours", applied: false),
            ])
        #expect(
            world.diary.all == ["start with 4", "length 5 colours [\"red\"]"],
            "a value that needs a restart stays the old one")
    }

    @Test func `a default written out is no change, a key taken out is one`() async throws {
        #expect(try await changes([boat()], from: "", to: "[plugin.dock.boat]\nlength = 3").isEmpty)
        let found = try await changes([boat()], from: "[plugin.dock.boat]\nflag = 'x'", to: "")
        #expect(found == [Kernel.Change("plugin.dock.boat.flag", applied: false)])
    }

    @Test func `a refusal is told with its reason`() async throws {
        let found = try await changes([boat(refusing: 5)], from: "", to: "[plugin.dock.boat]\nlength = 9")
        #expect(found == [Kernel.Change("plugin.dock.boat.length", applied: false, refusal: "too long to turn")])
    }

    @Test func `a plugin that takes no new settings needs a restart`() async throws {
        let plain = Plugin("boat", provides: .dock, config: BoatConfig.self) { _ in Boat(name: "x") }
        let found = try await changes([plain], from: "", to: "[plugin.dock.boat]\nlength = 9")
        #expect(found == [Kernel.Change("plugin.dock.boat.length", applied: false)])
    }

    @Test func `a second reload compares with what is in force`() async throws {
        let plugins = [boat()]
        let kernel = try world.kernel(plugins)
        try await kernel.start()
        let longer = try world.configuration(plugins, more: "[plugin.dock.boat]\nlength = 9\nflag = 'x'")
        let flag = Kernel.Change("plugin.dock.boat.flag", applied: false)
        #expect(
            Set(try await kernel.reload(plugins, longer)) == [
                Kernel.Change("plugin.dock.boat.length", applied: true), flag,
            ])
        #expect(try await kernel.reload(plugins, longer) == [flag])
        await kernel.stop()
    }

    @Test func `folders, enable and required need a restart`() async throws {
        let plugins = [boat()]
        let kernel = try world.kernel(plugins)
        try await kernel.start()
        let text = "version = 1\nroot = '/r'\nstate = '/s'\nenable = []"
        let changes = try await kernel.reload(plugins, try Configuration(text: text, file: "c.toml"))
        #expect(changes.map(\.key) == ["enable", "root", "state"])
        #expect(changes.allSatisfy { !$0.applied })
        #expect(world.report("dock.boat", kernel)?.state == .running, "a reload stops nothing")
        await kernel.stop()
    }

    @Test func `a broken file changes nothing`() async throws {
        let plugins = [boat()]
        let kernel = try world.kernel(plugins)
        try await kernel.start()
        let broken = try world.configuration(plugins, more: "[plugin.dock.boat]\nlength = 7\ncolour = 'x'")
        await #expect(throws: KernelProblems.self) { try await kernel.reload(plugins, broken) }
        #expect(world.diary.all == ["start with 3"])
        await kernel.stop()
    }
}
