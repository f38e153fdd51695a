import BerthBase
import Glibc
import Testing

/// A package outside the repository's targets adds a snapshotter: `examples/hello-snapshotter`, which the plugin
/// author's guide walks through. Its first build compiles all of Berth once more, in its own folder below `.build`.
@Suite struct OutOfTreeTests {
    let world: World
    let package = Build.repository + "/examples/hello-snapshotter"
    let scratch = Build.repository + "/.build/examples/hello-snapshotter"
    init() throws { world = try World() }

    /// Runs `swift` in the package; a manifest that sees BERTH_ONLY would leave products out.
    private func swift(_ arguments: String...) async throws -> Program {
        let script =
            "cd '\(package)' && exec swift \(arguments.joined(separator: " ")) --scratch-path '\(scratch)' 2>&1"
        let variables = ["PATH", "HOME"].compactMap { (name: String) -> String? in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
        return try Program("/bin/sh", ["-c", script], in: world.folder, environment: variables)
    }

    @Test func `the example is under a hundred lines`() {
        let source = Build.text("examples/hello-snapshotter/Sources/HelloSnapshotter/HelloSnapshotter.swift")
        let lines = source.split(separator: "\n").map { $0.drop { $0 == " " } }
        #expect(lines.count { !$0.isEmpty && !$0.hasPrefix("//") } < 100)
    }

    @Test func `the guide shows the example's own code`() {
        let guide = Build.text("docs/plugin-author.md")
        for file in [
            "Package.swift", "config.toml", "Sources/HelloSnapshotter/HelloSnapshotter.swift",
            "Sources/hello-berthd/main.swift", "Tests/HelloSnapshotterTests/ConformanceTests.swift",
        ] {
            let text = Build.text("examples/hello-snapshotter/\(file)")
            #expect(!text.isEmpty && guide.contains(text), "docs/plugin-author.md does not hold \(file) as it is")
        }
    }

    @Test(.timeLimit(.minutes(10)))
    func `the example is built, conforms, is enabled by configuration and runs in a daemon of its own`() async throws {
        let begin = ContinuousClock.now
        let build = try await swift("build", "--build-tests")
        let built = try await build.end(within: .seconds(500))
        try #require(built == 0, "\(build.output.suffix(4000))")
        let took = ContinuousClock.now - begin
        let test = try await swift("test", "--skip-build")
        #expect(try await test.end(within: .seconds(120)) == 0, "\(test.output.suffix(4000))")
        #expect(test.output.contains("Test run with") && test.output.contains("passed"))

        try world.folder.write("config.toml", Build.text("examples/hello-snapshotter/config.toml"))
        let daemon = scratch + "/debug/hello-berthd"
        let folders = ["--root", world.folder.path + "/root", "--state", world.folder.path + "/state"]
        let plan = try Program(daemon, ["plugins", "--config", world.config], in: world.folder)
        #expect(try await plan.end() == 0)
        #expect(plan.output.contains("snapshotter.hello   enabled at \(world.config):3:"), "\(plan.output)")
        let run = try Program(daemon, ["--config", world.config] + folders, in: world.folder)
        #expect(try await run.line(with: "berthd runs").contains("plugins=5/5"))
        #expect(world.folder.mode("root/snapshotter.hello") == "700")
        run.signal(SIGTERM)
        #expect(try await run.end() == 0)
        #expect(took < .seconds(400), "the build took \(took)")
    }
}
