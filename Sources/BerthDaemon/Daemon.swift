internal import BerthBase
public import BerthKernel
internal import BerthTOML
internal import Glibc
internal import Logging

/// The daemon's process: arguments, signals, start and stop.
public enum Daemon {
    /// The version of this Berth.
    package static let version = BerthVersion.current
    private static let defaultConfig = "/etc/berth/config.toml"

    /// Runs `berthd` with these plugins and this process's arguments; never returns.
    public static func main(plugins: [Plugin]) -> Never {
        runProcessRole()
        let invocation: (Invocation, Invocation.Options)
        do { invocation = try Invocation.parse(Array(CommandLine.arguments.dropFirst())) } catch {
            complain("berthd: \(error)")
            exit(2)
        }
        do { exit(try answer(invocation.0, invocation.1, plugins)) } catch {
            if let problems = (error as? TOMLProblems)?.all.map(\.description) ?? (error as? KernelProblems)?.all {
                // As they are, so that an editor finds `file:line:column`.
                for problem in problems { complain(problem) }
                complain("berthd: the configuration has \(problems.count) problem\(problems.count == 1 ? "" : "s")")
            } else {
                complain("berthd: \(error)")
            }
            exit(1)
        }
    }

    private static func answer(_ invocation: Invocation, _ options: Invocation.Options, _ plugins: [Plugin]) throws
        -> Int32
    {
        let printer = ConfigPrinter(plugins: plugins)
        switch invocation {
        case .help: say(Invocation.usage)
        case .version: say(LibraryVersions.text)
        case .configDefault: say(try printer.defaults(), terminator: "")
        case .configReference: say(try printer.reference(), terminator: "")
        case .configPrint: say(try printer.effective(try load(options, plugins)), terminator: "")
        case .configCheck:
            let configuration = try load(options, plugins)
            _ = try KernelPlan(plugins: plugins, configuration: configuration)
            say("\(configuration.files.joined(separator: ", ")): good, \(configuration.enable.count) plugins")
        case .plugins: try printPlan(try load(options, plugins), plugins)
        case .run:
            return try DaemonRun(configuration: load(options, plugins), options: options, plugins: plugins)
                .untilStopped()
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
            configuration = try Configuration(
                text: try ConfigPrinter(plugins: plugins).defaults(), file: "built-in default")
        }
        try configuration.override(root: options.root, state: options.state)
        return configuration
    }

    /// What would load, in order, and why.
    private static func printPlan(_ configuration: Configuration, _ plugins: [Plugin]) throws {
        let plan = try KernelPlan(plugins: plugins, configuration: configuration)
        let names = plan.graph.order.map(\.id.description)
        let width = (names.map(\.count).max() ?? 0) + 2
        for (index, name) in names.enumerated() {
            let id = plan.graph.order[index].id
            let needs = plan.graph.edges[id, default: []].map(\.description).sorted()
            let users = plan.graph.order.filter { plan.graph.edges[$0.id, default: []].contains(id) }.map(
                \.id.description)
            let place = configuration.enable.contains(name) ? configuration.place(of: name, in: "enable") : nil
            var why = [place.map { "enabled at \($0)" } ?? "always there"]
            if configuration.required.contains(name) { why.append("required") }
            if !needs.isEmpty { why.append("after \(needs.joined(separator: ", "))") }
            if !users.isEmpty { why.append("for \(users.joined(separator: ", "))") }
            let number = "\(index + 1)."
            say(pad(number, 4) + pad(name, width) + why.joined(separator: "; "))
        }
        for id in plugins.map(\.id).sorted() where !configuration.enable.contains(id.description) {
            say(pad("-", 4) + pad(id.description, width) + "not enabled")
        }
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
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
