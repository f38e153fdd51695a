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
}
