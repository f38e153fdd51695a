internal import ArgumentParser

@main
struct Berth: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs and inspects containers of a Berth node daemon.",
        subcommands: [
            Run.self, Pull.self, Images.self, RemoveImage.self, Containers.self, Logs.self, Exec.self, Stop.self,
            Remove.self, Inspect.self, Operations.self, Plugins.self, Garbage.self, Version.self,
        ])
}

/// Where the daemon is and how to print; every command has these.
struct CommonOptions: ParsableArguments {
    @Option(help: "The daemon's socket.")
    var address = "/run/berth/berth.sock"

    @Option(name: .shortAndLong, help: "The form of the output: table or json.")
    var output = OutputForm.table

    /// The daemon.
    func connect() async throws -> Daemon { try await Daemon(address: address) }
}

/// How output is printed.
enum OutputForm: String, ExpressibleByArgument {
    /// For people.
    case table
    /// For machines: one JSON document.
    case json
}
