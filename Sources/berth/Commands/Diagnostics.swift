internal import ArgumentParser
internal import BerthAPI
internal import BerthBase
internal import SwiftProtobuf

struct Version: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints the daemon's version and its libraries'.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        let response: Berth_V1_VersionResponse = try await common.connect().call("Version", Berth_V1_VersionRequest())
        try show(response, common.output) {
            let libraries = response.libraries.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            return "berthd \(response.version) (process \(response.pid)), \(libraries.joined(separator: ", "))"
        }
    }
}

struct Operations: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ops", abstract: "Shows what is in flight: what, for whom, at which stage, waiting for what.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        let response: Berth_V1_OperationsResponse = try await common.connect().call(
            "Operations", Berth_V1_OperationsRequest())
        try show(response, common.output) {
            var table = Table("ID", "OPERATION", "SUBJECT", "CALLER", "STAGE", "WAITS FOR", "WAITERS", "SINCE")
            for one in response.operations {
                table.add(
                    "\(one.id)", one.kind, one.subject, one.caller, one.stage, one.waitingFor, "\(one.waiters)",
                    age(of: one.startedAt))
            }
            return table.text
        }
    }
}

struct Plugins: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the daemon's plugins, their states and why.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        let response: Berth_V1_PluginsResponse = try await common.connect().call("Plugins", Berth_V1_PluginsRequest())
        try show(response, common.output) {
            var table = Table("PLUGIN", "STATE", "START", "REQUIRES", "REASON")
            for one in response.plugins {
                let micros = one.startTime.seconds * 1_000_000 + Int64(one.startTime.nanos / 1000)
                let state = one.required ? "\(one.state) (required)" : one.state
                table.add(one.id, state, "\(Double(micros) / 1000) ms", one.requires.joined(separator: " "), one.reason)
            }
            return table.text
        }
    }
}

struct Garbage: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc", abstract: "Collects what nothing refers to.", subcommands: [Explain.self])

    @OptionGroup var common: CommonOptions
    @Flag(help: "Only show what would go.") var dryRun = false

    func run() async throws {
        var request = Berth_V1_CollectGarbageRequest()
        request.dryRun = dryRun
        let response: Berth_V1_CollectGarbageResponse = try await common.connect().call("CollectGarbage", request)
        try show(response, common.output) {
            var table = Table("NAMESPACE", "KIND", "KEY", "SIZE")
            for item in response.removed { table.add(item.namespace, item.kind, item.key, humanBytes(item.size)) }
            let verb = dryRun ? "would free" : "freed"
            return table.text
                + "\n\(response.removed.count) items, \(verb) \(humanBytes(response.bytes)); \(response.kept) kept"
        }
    }

    struct Explain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Says what keeps a blob, snapshot or image.")

        @OptionGroup var common: CommonOptions
        @Option(name: .shortAndLong, help: "The containerd namespace.") var namespace = "default"
        @Argument(help: "A digest, a snapshot's name, or an image's name.") var key: String

        func run() async throws {
            var request = Berth_V1_ExplainGarbageRequest()
            request.key = key
            request.namespace = namespace
            let response: Berth_V1_ExplainGarbageResponse = try await common.connect().call("ExplainGarbage", request)
            try show(response, common.output) {
                guard response.kept else { return "nothing keeps '\(key)': the next collection removes it" }
                return response.chain.map { "\($0.kind) \($0.key)  \($0.why)" }.joined(separator: "\n")
            }
        }
    }
}
