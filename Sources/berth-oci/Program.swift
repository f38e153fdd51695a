internal import BerthBase
internal import BerthRuntime
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The command line: global options, then a command.
struct Program {
    var environment: RuntimeEnvironment
    private let logPath: String?
    private let logsJSON: Bool

    private static let options: [Arguments.Option] = [
        .init("root"), .init("log"), .init("log-format"), .flag("debug"), .flag("systemd-cgroup"), .init("rootless"),
        .flag("version", "v"), .flag("help", "h"),
    ]

    private func perform(_ command: String, _ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        switch command {
        case "create": return try create(words)
        case "run": return try run(words)
        case "start": return try start(words)
        case "exec": return try exec(words)
        case "kill": return try kill(words)
        case "delete": return try delete(words)
        case "state": return try state(words)
        case "list": return try list(words)
        case "ps": return try ps(words)
        case "pause": return try pause(words)
        case "resume": return try resume(words)
        case "update": return try update(words)
        case "events": return try events(words)
        case "spec": return try spec(words)
        case "features": return try features(words)
        case "checkpoint", "restore": throw BerthError(.unimplemented, "\(command) is not supported")
        default: throw BerthError(.invalidArgument, "unknown command '\(command)'")
        }
    }

    /// The program's version, as `--version` prints it.
    static let version = "0.1.0"

    /// Runs one command; the exit status.
    static func run(_ words: [String]) -> Int32 {
        var program: Program?
        do throws(BerthError) {
            let arguments = try Arguments(words[...], options, command: "berth-oci", operandLimit: 1)
            if arguments.has("version") { return say("berth-oci version \(version)\nspec: 1.3.0\n") }
            guard let name = arguments.operands.first, name != "help", !arguments.has("help") else {
                return say(usage)
            }
            let made = try Program(arguments)
            program = made
            return try made.perform(name, arguments.operands.dropFirst())
        } catch {
            program?.log("error", error.description)
            FileDescriptor.standardError.say("berth-oci: \(error.description)\n")
            return 1
        }
    }

    private init(_ arguments: Arguments) throws(BerthError) {
        let root = arguments.value("root") ?? "/run/berth-oci"
        environment = RuntimeEnvironment(
            stateRoot: FilePath(root), initPath: Program.initPath, systemdCgroup: arguments.has("systemd-cgroup"))
        logPath = arguments.value("log")
        logsJSON = arguments.value("log-format") == "json"
    }

    /// `BERTH_INIT`, or `berth-init` beside this program.
    private static var initPath: FilePath {
        if let path = getenv("BERTH_INIT") { return FilePath(String(cString: path)) }
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let own = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return FilePath(own).removingLastComponent().appending("berth-init")
    }

    private static let usage = """
        usage: berth-oci [--root DIR] [--log FILE] [--log-format text|json] COMMAND …
        commands: create run start exec kill delete state list ps pause resume update events spec features

        """

    /// Appends one line to the log file that callers like containerd read.
    func log(_ level: String, _ message: String) {
        guard let logPath, let file = try? Files.open(logPath, O_WRONLY | O_CREAT | O_APPEND, mode: 0o644) else {
            return
        }
        let time = Clock.now()
        let line =
            logsJSON
            ? "{\"level\":\"\(level)\",\"msg\":\"\(JSONText.escaped(message))\",\"time\":\"\(time)\"}\n"
            : "time=\"\(time)\" level=\(level) msg=\"\(JSONText.escaped(message))\"\n"
        try? Files.write(Array(line.utf8), to: file.rawValue)
    }

    /// What could only be done in part goes to the log and to standard error.
    func warn(_ warnings: [String]) {
        for warning in warnings {
            log("warning", warning)
            FileDescriptor.standardError.say("berth-oci: warning: \(warning)\n")
        }
    }

    /// Prints; the exit status of success.
    static func say(_ text: String) -> Int32 {
        FileDescriptor.standardOutput.say(text)
        return 0
    }
}

extension FileDescriptor {
    func say(_ text: String) { try? Files.write(Array(text.utf8), to: rawValue) }
}

/// Text within quotes of JSON.
enum JSONText {
    static func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            default:
                if scalar.value < 0x20 {
                    let hex = String(scalar.value, radix: 16)
                    out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                } else {
                    out.unicodeScalars.append(scalar)
                }
            }
        }
        return out
    }
}

/// Times as RFC 3339 writes them.
enum Clock {
    static func now() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return text(Double(now.tv_sec) + Double(now.tv_nsec) / 1e9)
    }

    static func text(_ seconds: Double) -> String {
        var whole = time_t(seconds), parts = tm()
        gmtime_r(&whole, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let nanoseconds = String(Int((seconds - Double(whole)) * 1e9))
        let fraction = String(repeating: "0", count: max(0, 9 - nanoseconds.count)) + nanoseconds
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
            + "T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(fraction)Z"
    }
}
