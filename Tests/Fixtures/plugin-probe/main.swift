import BerthConformance
import BerthDaemon
import BerthKernel
import Glibc

// Runs the conformance cases over one built-in plugin in a process of its own, in which nothing else opens files or
// starts threads. Arguments: the plugin's ID and the directory of pages.

// What would touch the host is put into the case's folder.
let configuration = """
    [plugin.server.grpc]
    address = "$WORLD/state/server.grpc/berth.sock"
    [plugin.network.cni]
    conf_dir = "$WORLD/root/network.cni/conf"
    netns_dir = "$WORLD/state/network.cni/netns"
    """
let plugins: [Plugin] = .builtins + badPlugins
let arguments = CommandLine.arguments
guard arguments.count == 3 else { exit(2) }
guard let plugin = plugins.first(where: { $0.id.description == arguments[1] }) else { exit(2) }
let subject = PluginConformance.Subject(plugin, among: plugins, configuration: configuration, pages: arguments[2])
var status: Int32 = 0
for test in PluginConformance.cases {
    do { try await test.run(subject) } catch {
        puts("\(plugin.id): \(test): \(error)")
        status = 1
    }
}
exit(status)
