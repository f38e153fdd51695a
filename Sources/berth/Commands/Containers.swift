internal import ArgumentParser
internal import BerthAPI
internal import BerthBase
internal import Glibc
internal import SwiftProtobuf

struct Containers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ps", abstract: "Lists containers of all namespaces.")

    @OptionGroup var common: CommonOptions
    @Flag(name: .shortAndLong, help: "Stopped ones too.") var all = false
    @Option(name: .shortAndLong, help: "Only this containerd namespace.") var namespace = ""

    func run() async throws {
        var request = Berth_V1_ContainersRequest()
        request.all = all
        request.namespace = namespace
        let response: Berth_V1_ContainersResponse = try await common.connect().call("Containers", request)
        try show(response, common.output) {
            var table = Table("CONTAINER", "NAME", "NAMESPACE", "IMAGE", "COMMAND", "STATE", "IP", "CREATED")
            for one in response.containers {
                let state = one.state == "exited" ? "exited (\(one.exitCode))" : one.state
                let id = String(one.id.prefix(12))
                let command = one.command.count > 30 ? one.command.prefix(29) + "…" : one.command
                table.add(
                    id, one.name, one.namespace, one.image, command, state, one.ip, age(of: one.createdAt))
            }
            return table.text
        }
    }
}

struct Logs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints a container's log.")

    @OptionGroup var common: CommonOptions
    @Flag(name: .shortAndLong, help: "Go on until the container has exited.") var follow = false
    @Option(name: .shortAndLong, help: "Only so many lines from the end.") var tail: Int64 = -1
    @Flag(name: .long, help: "The time before each line.") var timestamps = false
    @Argument(help: "The container's ID, a unique prefix of it, or its name.") var id: String

    func run() async throws {
        var request = Berth_V1_LogsRequest()
        request.id = id
        request.follow = follow
        request.tail = tail
        request.timestamps = timestamps
        try await common.connect().stream("Logs", request) { (chunk: Berth_V1_LogChunk) in
            write(Array(chunk.data), to: chunk.stream == "stderr" ? 2 : 1)
        }
    }
}

struct Exec: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs a command in a container, prints its output, exits with its status.")

    @OptionGroup var common: CommonOptions
    @Option(help: "Seconds after which it is killed; 0 is never.") var timeout: Int64 = 0
    @Option(name: [.customShort("e"), .long], help: "NAME=VALUE, may be repeated.") var env: [String] = []
    @Option(name: .shortAndLong, help: "Working directory.") var workdir = ""
    @Option(name: .shortAndLong, help: "User.") var user = ""
    @Flag(name: .shortAndLong, help: "Not supported yet.") var interactive = false
    @Flag(name: .shortAndLong, help: "Not supported yet.") var tty = false
    @Argument(help: "The container.") var id: String
    @Argument(parsing: .captureForPassthrough, help: "The command.") var command: [String]

    func validate() throws { try refuseTerminal(interactive: interactive, tty: tty) }

    func run() async throws {
        var request = Berth_V1_ExecRequest()
        request.id = id
        request.command = command
        request.env = env
        request.workdir = workdir
        request.user = user
        request.timeout = Google_Protobuf_Duration(seconds: timeout)
        let response: Berth_V1_ExecResponse = try await common.connect().call("Exec", request)
        if common.output == .json {
            try show(response, .json) { "" }
        } else {
            write(Array(response.stdout), to: 1)
            write(Array(response.stderr), to: 2)
        }
        if response.exitCode != 0 { throw ExitCode(response.exitCode) }
    }
}

struct Stop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Stops a container.")

    @OptionGroup var common: CommonOptions
    @Option(name: .shortAndLong, help: "Seconds before it is killed.") var timeout: Int64 = 10
    @Argument(help: "The containers.") var ids: [String]

    func run() async throws {
        let daemon = try await common.connect()
        for id in ids {
            var request = Berth_V1_StopRequest()
            request.id = id
            request.timeout = Google_Protobuf_Duration(seconds: timeout)
            let response: Berth_V1_StopResponse = try await daemon.call("Stop", request)
            try show(response, common.output) { id }
        }
    }
}

struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rm", abstract: "Removes a container and its pod.")

    @OptionGroup var common: CommonOptions
    @Flag(name: .shortAndLong, help: "Stop it first if it runs.") var force = false
    @Argument(help: "The containers.") var ids: [String]

    func run() async throws {
        let daemon = try await common.connect()
        for id in ids {
            var request = Berth_V1_RemoveRequest()
            request.id = id
            request.force = force
            let response: Berth_V1_RemoveResponse = try await daemon.call("Remove", request)
            try show(response, common.output) { id }
        }
    }
}

struct Inspect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints the whole record of a container or pod as JSON.")

    @OptionGroup var common: CommonOptions
    @Argument(help: "The container or pod.") var id: String

    func run() async throws {
        var request = Berth_V1_InspectRequest()
        request.id = id
        let response: Berth_V1_InspectResponse = try await common.connect().call("Inspect", request)
        write(Array(response.json) + [10], to: 1)
    }
}
