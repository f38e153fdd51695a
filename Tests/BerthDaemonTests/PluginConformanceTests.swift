import BerthBase
import BerthDaemon
import BerthKernel
import Testing

/// Every plugin in tree does what `PluginConformance` asks, each in a process of its own.
@Suite(.serialized) struct PluginConformanceTests {
    @Test(arguments: [Plugin].builtins.map(\.id.description))
    func `every plugin conforms`(_ id: String) async throws {
        let folder = try Folder()
        let probe = try Program(
            Build.program("plugin-probe"), [id, Build.repository + "/docs/plugins"], in: folder)
        let status = try await probe.end(within: .seconds(120))
        #expect(status == 0, "\(probe.output)\(probe.errors)")
    }

    @Test(arguments: [
        ("bad-descriptor.descriptor", "6 × /dev/null"), ("bad-socket.socket", "/state/bad-socket.socket/left"),
        ("bad-thread.thread", "6 threads are left by 6 rounds"), ("bad-settings.settings", "key 'size' has no ConfigKey"),
        ("bad-settings.settings", "ConfigKey 'weight' is no key of its settings"),
        ("bad-settings.settings", "the sentence of 'colour' ends with a full stop"),
        ("bad-settings.settings", "there is no page '/none/bad-settings.settings.md'"),
        ("bad-stop.stop", "bad-stop.stop failed (did not stop: close)"),
    ])
    func `a plugin that breaks a rule is found out`(_ id: String, _ word: String) async throws {
        let folder = try Folder()
        let probe = try Program(Build.program("plugin-probe"), [id, "/none"], in: folder)
        #expect(try await probe.end(within: .seconds(200)) == 1)
        #expect(probe.output.contains(word), "\(probe.output)")
    }
}
