import BerthBase
import BerthKernel
import Testing

@Suite struct GraphTests {
    let world: World
    init() throws { world = try World() }

    /// Everything the kernel finds wrong with these plugins.
    private func problems(_ plugins: [Plugin], enable: [String], more: String = "") -> [String] {
        let list = enable.map { "\"\($0)\"" }.joined(separator: ", ")
        do {
            let text = "version = 1\nenable = [\(list)]\n\(more)"
            _ = try KernelPlan(plugins: plugins, configuration: try Configuration(text: text, file: "c.toml"))
            return []
        } catch { return (error as? KernelProblems)?.all ?? ["\(error)"] }
    }

    private func order(_ plugins: [Plugin]) throws -> [String] {
        try KernelPlan(plugins: plugins, configuration: world.configuration(plugins)).graph.order.map(\.id.description)
    }

    @Test func `each plugin comes after what it needs, ties by ID`() throws {
        let plugins = [
            world.plugin("z", .harbour), world.plugin("a", .crane, needs: .one(.dock)),
            world.plugin("b", .dock), world.plugin("a", .harbour, needs: .all(.crane)),
        ]
        let expected = ["dock.b", "crane.a", "harbour.a", "harbour.z", "kernel.registry"]
        #expect(try order(plugins) == expected)
        #expect(try order(plugins.reversed()) == expected, "the order of registration does not matter")
    }

    @Test func `the edges are the providers that were found`() throws {
        let plugins = [
            world.plugin("a", .dock), world.plugin("b", .dock),
            world.plugin("c", .crane, needs: .all(.dock), .optional(.harbour)),
        ]
        let graph = try KernelPlan(plugins: plugins, configuration: world.configuration(plugins)).graph
        #expect(graph.edges[PluginID(service: "crane", name: "c")]?.map(\.description) == ["dock.a", "dock.b"])
    }

    @Test func `an unknown plugin is a problem with its place and a suggestion`() {
        #expect(
            problems([world.plugin("north", .harbour)], enable: ["harbour.nort", "submarine.x"]) == [
                "c.toml:2:11: there is no plugin 'harbour.nort'; did you mean 'harbour.north'?",
                "c.toml:2:27: there is no plugin 'submarine.x'",
            ])
    }

    @Test func `a plugin enabled twice, registered twice`() {
        let plugin = world.plugin("north", .harbour)
        #expect(
            problems([plugin, plugin], enable: ["harbour.north"]) == ["plugin 'harbour.north' is registered twice"])
        #expect(
            problems([plugin], enable: ["harbour.north", "harbour.north"])
                == ["c.toml:2:28: plugin 'harbour.north' is enabled twice"])
    }

    @Test func `one of none`() {
        let crane = world.plugin("c", .crane, needs: .one(.dock))
        #expect(
            problems([crane], enable: ["crane.c"]) == [
                "c.toml:2:11: plugin 'crane.c' needs 'dock': no plugin provides it"
            ])
        #expect(
            problems([crane, world.plugin("b", .dock), world.plugin("a", .dock)], enable: ["crane.c"])
                == ["c.toml:2:11: plugin 'crane.c' needs 'dock': enable 'dock.a' or 'dock.b'"])
    }

    @Test func `one of several, for one and for optional`() {
        let docks = [world.plugin("b", .dock), world.plugin("a", .dock)]
        let enabled = ["crane.c", "dock.a", "dock.b"]
        let message =
            "c.toml:2:11: plugin 'crane.c' needs one 'dock', but 'dock.a' and 'dock.b' are enabled; enable one of them"
        #expect(problems(docks + [world.plugin("c", .crane, needs: .one(.dock))], enable: enabled) == [message])
        #expect(problems(docks + [world.plugin("c", .crane, needs: .optional(.dock))], enable: enabled) == [message])
        #expect(problems(docks + [world.plugin("c", .crane, needs: .all(.dock))], enable: enabled).isEmpty)
        #expect(problems([world.plugin("c", .crane, needs: .optional(.dock))], enable: ["crane.c"]).isEmpty)
    }

    @Test func `two interfaces under one key name`() {
        let other = Plugin("x", provides: ServiceKey<Int>("dock"), config: NoConfig.self) { _ in 1 }
        #expect(
            problems([other, world.plugin("c", .crane, needs: .one(.dock))], enable: ["dock.x", "crane.c"])
                == ["service key 'dock' names two interfaces: one of 'crane.c', another of 'dock.x'"])
    }

    @Test func `a cycle is reported with its path`() {
        let plugins = [
            world.plugin("a", .harbour, needs: .one(.crane)), world.plugin("b", .crane, needs: .one(.dock)),
            world.plugin("c", .dock, needs: .one(.harbour)),
        ]
        #expect(
            problems(plugins, enable: ["harbour.a", "crane.b", "dock.c"])
                == ["c.toml:2:24: plugins need each other in a circle: crane.b → dock.c → harbour.a → crane.b"])
    }

    @Test func `two cycles and what only leads to one`() {
        let plugins = [
            world.plugin("a", .harbour, needs: .all(.harbour)), world.plugin("b", .crane, needs: .one(.dock)),
            world.plugin("c", .dock, needs: .one(.crane)),
            Plugin("lead", provides: ServiceKey<Int>("anchor"), config: NoConfig.self, requires: .one(.harbour)) {
                _, _ in 1
            },
        ]
        #expect(
            problems(plugins, enable: ["anchor.lead", "harbour.a", "crane.b", "dock.c"]) == [
                "c.toml:2:26: plugins need each other in a circle: harbour.a → harbour.a",
                "c.toml:2:39: plugins need each other in a circle: crane.b → dock.c → crane.b",
            ])
    }

    @Test func `all problems at once, in the order of the file`() {
        let boat = Plugin("boat", provides: .dock, config: BoatConfig.self) { _ in Boat(name: "x") }
        let more = """
            [log.plugins]
            "dock.boot" = "debug"
            [plugin.dock.boat]
            length = 0
            [plugin.crane]
            [plugin.crane.none]
            x = 1
            """
        #expect(
            problems(
                [boat, world.plugin("h", .harbour, needs: .one(.crane))], enable: ["harbour.h", "dock.bot"], more: more)
                == [
                    "c.toml:2:11: plugin 'harbour.h' needs 'crane': no plugin provides it",
                    "c.toml:2:24: there is no plugin 'dock.bot'; did you mean 'dock.boat'?",
                    "c.toml:4:15: 'log.plugins': there is no plugin 'dock.boot'; did you mean 'dock.boat'?",
                    "c.toml:5:1: plugin 'dock.boat': length must be at least 1",
                    "c.toml:8:1: there is no plugin 'crane.none'",
                ])
    }

    @Test func `settings of a plugin are decoded strictly, also of one that is not enabled`() {
        let boat = Plugin("boat", provides: .dock, config: BoatConfig.self) { _ in Boat(name: "x") }
        let more = """
            [plugin.dock.boat]
            length = "long"
            colors = []
            colours = ["red", 5]
            """
        #expect(
            problems([boat], enable: [], more: more) == [
                "c.toml:4:10: 'plugin.dock.boat.length' must be an integer, not a string",
                "c.toml:5:10: unknown key 'plugin.dock.boat.colors'; did you mean 'colours'?",
                "c.toml:6:19: 'plugin.dock.boat.colours[1]' must be a string, not an integer",
            ])
        #expect(
            problems([boat], enable: [], more: "[plugin.dock]\nboat = 3")
                == ["c.toml:4:8: 'plugin.dock.boat' must be a table, not an integer"])
    }
}
