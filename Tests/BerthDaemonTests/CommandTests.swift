import BerthBase
import Testing

/// The commands of `berthd` that run no daemon.
@Suite struct CommandTests {
    let world: World
    init() throws { world = try World() }

    @Test func `the shipped config.toml is the default`() async throws {
        let result = try await world.run("config", "default")
        #expect(result.status == 0)
        #expect(result.output == Build.text("config.toml"), "run scripts/generate-config")
    }

    @Test func `the reference page is what the code says`() async throws {
        let result = try await world.run("config", "reference")
        #expect(result.output == Build.text("docs/configuration.md"), "run scripts/generate-config")
    }

    @Test func `the default is good, and names every plugin that runs`() async throws {
        try world.folder.write("config.toml", Build.text("config.toml"))
        let result = try await world.run("config", "check", "--config", world.config)
        #expect(result.errors == "")
        #expect(result.output.hasPrefix("config.toml: good, "))
        #expect(result.status == 0)
    }

    @Test func `a check tells every problem on a line of its own and exits with 1`() async throws {
        try world.configure(
            ["content.locl", "metadata.sqlite"], required: ["server.grpc"],
            more: "[plugin.network.cni]\ntimeout_seconds = 'x'")
        var result = try await world.run("config", "check", "--config", world.config)
        #expect(result.status == 1)
        #expect(result.output == "")
        #expect(
            result.errors == """
                config.toml:5:13: required plugin 'server.grpc' is not in 'enable'
                berthd: the configuration has 1 problem

                """)
        try world.configure(["content.locl", "metadata.sqlite"], more: "[plugin.network.cni]\ntimeout_seconds = 'x'")
        result = try await world.run("config", "check", "--config", world.config)
        #expect(
            result.errors == """
                config.toml:4:11: there is no plugin 'content.locl'; did you mean 'content.local'?
                config.toml:4:27: plugin 'metadata.sqlite' needs 'database': enable 'database.sqlite'
                config.toml:7:19: 'plugin.network.cni.timeout_seconds' must be an integer, not a string
                berthd: the configuration has 3 problems

                """)
    }

    @Test func `a daemon with a wrong configuration does not start and touches nothing`() async throws {
        try world.configure(["content.locl"])
        let daemon = try world.start()
        #expect(try await daemon.end() == 1)
        #expect(daemon.errors.contains("there is no plugin 'content.locl'"))
        #expect(!Folder.names(world.folder.path).contains("root"))
    }

    @Test func `print shows each value with where it came from`() async throws {
        try world.configure(more: "[log]\nlevel = \"debug\"\n[plugin.events.bus]\njournal_events = 7")
        let result = try await world.run("config", "print", "--config", world.config, "--state", "/tmp/other")
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(result.status == 0)
        #expect(
            lines.contains("root = \"\(world.folder.path)/root\"  # config.toml:2")
                || lines.contains("root = \"root\"  # config.toml:2"))
        #expect(lines.contains("state = \"/tmp/other\"  # command line"))
        #expect(lines.contains("level = \"debug\"  # config.toml:7"))
        #expect(lines.contains("format = \"text\"  # default"))
        #expect(lines.contains("journal_events = 7  # config.toml:9"))
        #expect(lines.contains("journal_bytes = 4194304  # default"))
        #expect(!result.output.contains("[plugin.network.cni]"), "a plugin that is not enabled is not in force")
    }

    @Test func `what print writes is a configuration that means the same`() async throws {
        try world.configure(
            World.plugins + ["network.cni"], required: ["content.local"],
            more: "[log.plugins]\n\"content.local\" = \"debug\"\n[plugin.network.cni]\nbin_dirs = [\"/x\", \"/y\"]")
        func values(_ text: String) -> [String] {
            text.split(separator: "\n").map { $0.split(separator: "  # ")[0] }.filter { !$0.hasPrefix("#") }.map(
                String.init)
        }
        let program = try Program(
            Build.program("berthd"), ["config", "print", "--config", world.config], in: world.folder)
        #expect(try await program.end() == 0)
        let copy = try world.folder.write("copy.toml", program.output)
        let again = try Program(Build.program("berthd"), ["config", "print", "--config", copy], in: world.folder)
        #expect(try await again.end() == 0)
        #expect(values(again.output) == values(program.output))
        #expect(values(program.output).contains("bin_dirs = [\"/x\", \"/y\"]"))
    }

    @Test func `plugins prints what would load, in order, and why`() async throws {
        try world.configure(["metadata.sqlite", "database.sqlite", "content.local"], required: ["metadata.sqlite"])
        let result = try await world.run("plugins", "--config", world.config)
        let lines = result.output.split(separator: "\n").map(String.init)
        #expect(
            Array(lines.prefix(4)) == [
                "1.  content.local    enabled at config.toml:4:49",
                "2.  database.sqlite  enabled at config.toml:4:30; for metadata.sqlite",
                "3.  kernel.registry  always there",
                "4.  metadata.sqlite  enabled at config.toml:4:11; required; after database.sqlite",
            ])
        #expect(lines.contains("-   network.cni      not enabled"))
    }

    @Test func `the version names the libraries`() async throws {
        let result = try await world.run("--version")
        let lines = result.output.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(
            lines.map { String($0[0]) } == [
                "berthd", "libnghttp2", "libsqlite3", "libseccomp", "libcap", "libcurl", "OpenSSL",
            ])
        for line in lines {
            let numbers = line.last.map { $0.split(separator: ".").filter { Int($0) != nil } } ?? []
            #expect(line.count == 2 && numbers.count >= 2, "\(line)")
        }
    }

    @Test(arguments: [
        (["--frobnicate"], "berthd: unknown option '--frobnicate'; see berthd --help\n"),
        (["config", "chek"], "berthd: unknown command 'config chek'; see berthd --help\n"),
        (["--config"], "berthd: option '--config' needs a value\n"),
    ])
    func `a wrong command line is told and exits with 2`(_ arguments: [String], _ message: String) async throws {
        let program = try Program(Build.program("berthd"), arguments, in: world.folder)
        #expect(try await program.end() == 2)
        #expect(program.errors == message)
    }

    @Test func `a file that is missing and a relative root are told`() async throws {
        let missing = try await world.run("config", "check", "--config", "/none.toml")
        #expect(missing.errors.hasPrefix("/none.toml:1:1: read '/none.toml': No such file or directory\n"))
        try world.configure()
        let relative = try await world.run("config", "check", "--config", world.config, "--root", "x")
        #expect(relative.errors == "berthd: --root must be an absolute path, not 'x'\n")
        #expect(relative.status == 1)
    }

    @Test func `help lists the commands`() async throws {
        let result = try await world.run("--help")
        #expect(result.status == 0)
        for word in ["config check", "config print", "config default", "config reference", "plugins", "--version"] {
            #expect(result.output.contains(word))
        }
    }
}
