internal import ArgumentParser
internal import BerthBase
internal import Glibc

@main
struct Berth: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs and inspects containers of a Berth node daemon.",
        discussion: """
            --address and --output may stand before the command too. Without --address the socket is taken from \
            BERTH_ADDRESS, else /run/berth/berth.sock. The exit status is 0, 1 for a failure, 64 for a wrong call; \
            'run' and 'exec' pass on the command's own, and 'run' ends with 125 when the container did not start.
            """,
        subcommands: [
            Run.self, Pull.self, Images.self, RemoveImage.self, Containers.self, Logs.self, Exec.self, Stop.self,
            Remove.self, Inspect.self, Operations.self, Plugins.self, Garbage.self, Version.self,
        ])

    static func main() async {
        let arguments = CommonOptions.behindCommand(Array(CommandLine.arguments.dropFirst()))
        do {
            var command = try parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let error as BerthError {
            complain(Failure(error).text)
            Glibc.exit(Failure.status)
        } catch let failure as Failure {
            complain(failure.text)
            Glibc.exit(failure.status)
        } catch {
            exit(withError: error)
        }
    }
}

/// A failure with the exit status it ends the command with.
struct Failure: Error {
    static let status: Int32 = 1

    let error: BerthError
    var status = Failure.status

    init(_ error: BerthError, status: Int32 = Failure.status) {
        self.error = error
        self.status = status
    }

    /// `berth: what: why`, and for some what to do.
    var text: String {
        // As every table shows them: whole IDs make a line that nobody reads.
        var text = "berth: \(error)".replacing(/\b[0-9a-f]{64}\b/) { $0.output.prefix(12) }
        switch error.code {
        case .permissionDenied where error.message.contains("connect"):
            text += "\nthe socket belongs to root; try again as root"
        case .deadlineExceeded: text += "\n'berth ops' shows what is still under way"
        default: break
        }
        return text
    }
}

/// Where the daemon is and how to print; every command has these.
struct CommonOptions: ParsableArguments {
    @Option(help: "The daemon's socket; else BERTH_ADDRESS, else /run/berth/berth.sock.")
    var address: String?

    @Option(name: .shortAndLong, help: "The form of the output: table or json.")
    var output = OutputForm.table

    /// The daemon.
    func connect() async throws -> Daemon {
        let environment = getenv("BERTH_ADDRESS").map { String(cString: $0) }
        let path = address ?? environment ?? "/run/berth/berth.sock"
        return try await Daemon(address: path.hasPrefix("unix://") ? String(path.dropFirst(7)) : path)
    }

    /// The arguments with the common options that stand before the command put behind it.
    static func behindCommand(_ arguments: [String]) -> [String] {
        var common: [String] = []
        var rest = arguments[...]
        while let first = rest.first {
            if ["--address", "--output", "-o"].contains(first), rest.count > 1 {
                common += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else if first.hasPrefix("--address=") || first.hasPrefix("--output=") {
                common.append(first)
                rest = rest.dropFirst()
            } else {
                break
            }
        }
        guard !common.isEmpty, let command = rest.first, !command.hasPrefix("-") else { return arguments }
        let words = command == "gc" && rest.dropFirst().first == "explain" ? 2 : 1
        return Array(rest.prefix(words)) + common + Array(rest.dropFirst(words))
    }
}

/// How output is printed.
enum OutputForm: String, ExpressibleByArgument, CaseIterable {
    /// For people.
    case table
    /// For machines: one JSON document.
    case json
}

/// Writes a line to the standard error.
func complain(_ line: String) { write(Array((line + "\n").utf8), to: 2) }
