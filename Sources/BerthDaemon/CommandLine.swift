internal import BerthBase

/// What `berthd` was asked to do.
enum Invocation: Equatable {
    case run
    case configCheck
    case configPrint
    case configDefault
    case configReference
    case plugins
    case version
    case help

    /// The options before and after the words.
    struct Options: Equatable {
        var config: String?
        var root: String?
        var state: String?
    }

    /// - Throws: `invalidArgument` for anything it does not know.
    static func parse(_ arguments: [String]) throws -> (Invocation, Options) {
        var options = Options()
        var words: [String] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--config", "-c": options.config = try value(of: argument, &rest)
            case "--root": options.root = try value(of: argument, &rest)
            case "--state": options.state = try value(of: argument, &rest)
            case "--version", "-v": words.append("version")
            case "--help", "-h": words.append("help")
            case let other where other.hasPrefix("-"):
                throw BerthError(.invalidArgument, "unknown option '\(other)'; see berthd --help")
            default: words.append(argument)
            }
        }
        let known: [[String]: Invocation] = [
            []: .run, ["config", "check"]: .configCheck, ["config", "print"]: .configPrint,
            ["config", "default"]: .configDefault, ["config", "reference"]: .configReference,
            ["plugins"]: .plugins, ["version"]: .version, ["help"]: .help,
        ]
        guard let invocation = known[words] else {
            throw BerthError(.invalidArgument, "unknown command '\(words.joined(separator: " "))'; see berthd --help")
        }
        return (invocation, options)
    }

    private static func value(of option: String, _ rest: inout ArraySlice<String>) throws -> String {
        guard let value = rest.popFirst() else {
            throw BerthError(.invalidArgument, "option '\(option)' needs a value")
        }
        return value
    }

    static let usage = """
        berthd [--config FILE] [--root DIR] [--state DIR]   runs the daemon
        berthd config check      checks the configuration; the exit status is the answer
        berthd config print      the effective configuration, each value with where it came from
        berthd config default    the default configuration, every key with its default and a comment
        berthd config reference  the reference page of all keys
        berthd plugins           what would start, in which order, and why
        berthd --version         the version and those of the libraries
        """
}
