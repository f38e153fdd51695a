internal import BerthBase
public import BerthKernel
internal import BerthTOML
internal import Glibc
internal import Logging

/// The daemon's process: arguments, signals, start and stop.
public enum Daemon {
    /// The version of this Berth.
    package static let version = "0.1.0"
    private static let defaultConfig = "/etc/berth/config.toml"

    /// Runs `berthd` with these plugins and this process's arguments; never returns.
    public static func main(plugins: [Plugin]) -> Never {
        runProcessRole()
        do {
            let (invocation, options) = try Invocation.parse(Array(CommandLine.arguments.dropFirst()))
            exit(try answer(invocation, options, plugins))
        } catch {
            complain("berthd: \(error)")
            exit(error is BerthError ? 2 : 1)
        }
    }

    private static func answer(_ invocation: Invocation, _ options: Invocation.Options, _ plugins: [Plugin]) throws -> Int32 {
        let printer = ConfigPrinter(plugins: plugins)
        switch invocation {
        case .help: say(Invocation.usage)
        case .version: say(LibraryVersions.line)
        case .configDefault: say(try printer.defaults(), terminator: "")
        case .configReference: say(try printer.reference(), terminator: "")
        case .configPrint: say(try printer.effective(try load(options, plugins)), terminator: "")
        case .configCheck:
            let configuration = try load(options, plugins)
            _ = try Kernel.check(plugins: plugins, configuration: configuration)
            say("\(configuration.files.joined(separator: ", ")): good, \(configuration.enable.count) plugins")
        case .plugins: try printPlan(try load(options, plugins), plugins)
        case .run: try DaemonRun(configuration: try load(options, plugins), options: options, plugins: plugins).forever()
        }
        return 0
    }

    /// The file asked for, else the one in /etc, else the built-in default.
    static func load(_ options: Invocation.Options, _ plugins: [Plugin]) throws -> Configuration {
        var configuration: Configuration
        if let file = options.config {
            configuration = try Configuration(file: file)
        } else if access(defaultConfig, F_OK) == 0 {
            configuration = try Configuration(file: defaultConfig)
        } else {
            configuration = try Configuration(text: try ConfigPrinter(plugins: plugins).defaults(), file: "built-in default")
        }
        configuration.override(root: options.root, state: options.state)
        return configuration
    }

    private static func printPlan(_ configuration: Configuration, _ plugins: [Plugin]) throws {
        let plan = try Kernel.check(plugins: plugins, configuration: configuration)
        for (index, plugin) in plan.graph.order.enumerated() {
            let needs = plan.graph.edges[plugin.id, default: []].map(\.description).sorted()
            let why = configuration.required.contains(plugin.id.description) ? "required" : "enabled"
            let behind = needs.isEmpty ? "" : ", after \(needs.joined(separator: ", "))"
            say("\(index + 1). \(plugin.id) (\(plugin.id.service == "kernel" ? "always there" : why)\(behind))")
        }
        let off = plugins.filter { !configuration.enable.contains($0.id.description) }.map(\.id).sorted()
        for id in off { say("-  \(id) (not enabled)") }
    }

    static func say(_ text: String, terminator: String = "\n") {
        let bytes = Array((text + terminator).utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { write(1, $0.baseAddress?.advanced(by: sent), $0.count - sent) }
            if count <= 0 { return }
            sent += count
        }
    }

    static func complain(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }
}
