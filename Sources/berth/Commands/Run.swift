internal import ArgumentParser
internal import BerthAPI
internal import BerthBase
internal import Glibc

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Pulls an image if need be, runs it in a pod of its own, prints its log, exits with its status.")

    @OptionGroup var common: CommonOptions
    @Flag(name: .shortAndLong, help: "Print the container's ID and leave it running.") var detach = false
    @Flag(help: "Remove the container and its pod when it has exited.") var rm = false
    @Option(help: "A name; made up if not given.") var name = ""
    @Option(name: [.customShort("v"), .long], help: "SOURCE:TARGET[:ro], may be repeated.") var volume: [String] = []
    @Option(name: [.customShort("e"), .long], help: "NAME=VALUE, may be repeated.") var env: [String] = []
    @Option(help: "Memory limit, e.g. 64m.") var memory: String?
    @Option(help: "CPU limit, e.g. 0.5.") var cpus: Double?
    @Option(help: "pod (the default) or host.") var network = "pod"
    @Option(name: .shortAndLong, help: "User, e.g. 1000 or 1000:1000.") var user = ""
    @Option(name: .shortAndLong, help: "Working directory.") var workdir = ""
    @Option(help: "Replaces the image's entrypoint.") var entrypoint: String?
    @Option(help: "The pod's host name.") var hostname = ""
    @Option(help: "NAME=VALUE, may be repeated.") var label: [String] = []
    @Flag(help: "Mount the root file system read-only.") var readOnly = false
    @Flag(name: .shortAndLong, help: "No progress of the pull.") var quiet = false
    @Flag(name: .customLong("plain-http"), help: "Talk http without TLS to the registry.") var plainHTTP = false
    @Flag(name: .shortAndLong, help: "Not supported yet.") var interactive = false
    @Flag(name: .shortAndLong, help: "Not supported yet.") var tty = false
    @Argument(help: "The image.") var image: String
    @Argument(parsing: .captureForPassthrough, help: "The command; the image's if not given.") var command: [String] =
        []

    func validate() throws {
        try refuseTerminal(interactive: interactive, tty: tty)
        guard network == "pod" || network == "host" else { throw ValidationError("--network is pod or host") }
        if let cpus, !(cpus >= 0.01 && cpus <= 100_000) { throw ValidationError("--cpus is a number such as 0.5") }
        _ = try request()
    }

    func run() async throws {
        do {
            let daemon = try await common.connect()
            let started = try await start(on: daemon)
            if detach {
                try show(started, common.output) { started.id }
                return
            }
            let status = try await Foreground(id: started.id, daemon: daemon, removes: rm).follow()
            if status != 0 { throw ExitCode(status) }
        } catch let error as BerthError {
            throw Failure(error, status: Self.status(of: error))
        }
    }

    /// As docker does, so that a script can tell it from the command's own status: 127 for a command that is not
    /// there, 126 for one that cannot be run, 125 for everything else.
    static func status(of error: BerthError) -> Int32 {
        guard error.message.hasSuffix("(stage exec)") else { return 125 }
        return error.message.hasSuffix("ENOENT (stage exec)") ? 127 : 126
    }

    /// Runs the image, pulling it first if it is not here.
    private func start(on daemon: Daemon) async throws -> Berth_V1_RunResponse {
        let request = try request()
        do { return try await daemon.call("Run", request) } catch let error as BerthError where error.code == .notFound
        {
            var pull = Berth_V1_PullRequest()
            pull.reference = image
            pull.plainHTTP = plainHTTP
            _ = try await Pull.pull(pull, from: daemon, quiet: quiet)
            return try await daemon.call("Run", request)
        }
    }

    func request() throws -> Berth_V1_RunRequest {
        var request = Berth_V1_RunRequest()
        request.image = image
        request.command = command
        request.name = name
        request.env = try env.map(Self.pair)
        request.volumes = try volume.map(Self.volume)
        request.memory = try memory.map(Self.bytes) ?? 0
        request.cpuMillis = Int64(((cpus ?? 0) * 1000).rounded())
        request.hostNetwork = network == "host"
        request.remove = rm
        request.workdir = workdir
        request.user = user
        request.readOnly = readOnly
        request.entrypoint = entrypoint.map { [$0] } ?? []
        request.hostname = hostname
        for pair in label {
            let parts = try Self.pair(pair).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            request.labels[String(parts[0])] = String(parts[1])
        }
        return request
    }

    private static func pair(_ text: String) throws -> String {
        if text.contains("=") { return text }
        // As docker does: a bare name takes the value from our own environment.
        guard let value = getenv(text) else { throw ValidationError("'\(text)' is not NAME=VALUE") }
        return "\(text)=\(String(cString: value))"
    }

    private static func volume(_ text: String) throws -> Berth_V1_Volume {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 || (parts.count == 3 && (parts[2] == "ro" || parts[2] == "rw")),
            parts[0].hasPrefix("/"), parts[1].hasPrefix("/")
        else { throw ValidationError("volume '\(text)' is not /SOURCE:/TARGET[:ro]") }
        var volume = Berth_V1_Volume()
        volume.source = parts[0]
        volume.target = parts[1]
        volume.readOnly = parts.count == 3 && parts[2] == "ro"
        return volume
    }

    /// `64m` in bytes; powers of 1024.
    static func bytes(_ text: String) throws -> Int64 {
        let units: [Character: Int64] = ["b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
        let lower = text.lowercased()
        let unit = lower.last.flatMap { units[$0] }
        guard let number = Int64(unit == nil ? lower : String(lower.dropLast())), number > 0 else {
            throw ValidationError("'\(text)' is no size such as 64m")
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
        guard !overflow else { throw ValidationError("'\(text)' is too large") }
        return bytes
    }
}
