internal import BerthBase
internal import BerthServices
internal import BerthSystem
internal import Glibc

/// Runs CNI plugins. Source: CNI spec 1.1, sections 2 to 5.
struct PluginInvoker: Sendable {
    let binDirs: [String]
    let deadline: Duration
    /// Threads of its own: plugins that hang must not hold up mounts, nor teardowns the pods that start.
    let starts = Blocking.Lane("cni", width: 32)
    let teardowns = Blocking.Lane("cni-teardown", width: 16)
    /// The pod's interface.
    static let interface = "eth0"
    /// The most a plugin may print.
    static let maxOutput = 1 << 20
    /// How long after a plugin was killed its thread is waited for.
    static let grace = Duration.seconds(5)

    /// Runs ADD of every plugin in order.
    func add(_ network: LoadedNetwork, _ request: PodNetworkRequest, podCIDR: String?) async throws -> PodNetworkResult
    {
        let configuration = network.configuration
        let capabilities = CapabilityArguments.of(request, podCIDR: podCIDR)
        var previous: JSONValue?
        for step in configuration.steps {
            let input = configuration.input(for: step, capabilities: capabilities, previous: previous)
            let call = Call(step: step, verb: "ADD", request: request, input: input)
            guard let result = try await invoke(call, on: starts), result.object != nil else {
                throw BerthError(.internal, "CNI plugin '\(step.type)' ADD: it ended well but printed no result")
            }
            previous = result
        }
        let result = previous ?? .object([:])
        let addresses = Self.addresses(in: result)
        guard !addresses.isEmpty else {
            throw BerthError(.internal, "network '\(configuration.name)': no plugin gave the pod an address")
        }
        return PodNetworkResult(addresses: addresses, raw: result.encoded())
    }

    /// Runs DEL of every plugin in reverse order; all are tried, the first error is thrown.
    func delete(_ attachment: Attachment) async throws {
        guard !attachment.file.isEmpty else { return }
        let configuration = try NetworkConfiguration(file: attachment.file, bytes: attachment.configuration)
        let hasResult = !attachment.result.isEmpty && configuration.speaks("0.4.0")
        let previous = hasResult ? try JSONValue(parsing: attachment.result) : nil
        let capabilities = CapabilityArguments.of(attachment.request, podCIDR: attachment.podCIDR)
        var request = attachment.request
        // A namespace that is gone (after a reboot, say) is told to plugins by an empty path: then they give back
        // what lies outside of it, and do not fail over a file that is no namespace.
        if !NamespaceFiles.isNamespace(request.netns) { request.netns = "" }
        var first: (any Error)?
        for step in configuration.steps.reversed() {
            let input = configuration.input(for: step, capabilities: capabilities, previous: previous)
            let call = Call(step: step, verb: "DEL", request: request, input: input)
            do { _ = try await invoke(call, on: teardowns) } catch { first = first ?? error }
        }
        if let first { throw first }
    }

    /// Runs CHECK of every plugin, where the configuration's version has it.
    func check(_ attachment: Attachment) async throws {
        let configuration = try NetworkConfiguration(file: attachment.file, bytes: attachment.configuration)
        guard !configuration.disableCheck, configuration.speaks("0.4.0") else { return }
        let previous = try JSONValue(parsing: attachment.result)
        let capabilities = CapabilityArguments.of(attachment.request, podCIDR: attachment.podCIDR)
        for step in configuration.steps {
            let input = configuration.input(for: step, capabilities: capabilities, previous: previous)
            _ = try await invoke(Call(step: step, verb: "CHECK", request: attachment.request, input: input), on: starts)
        }
    }

    /// Whether every plugin is there and, where the configuration's version has STATUS (1.1.0), says it is ready.
    ///
    /// - Throws: why not.
    func status(_ network: LoadedNetwork) async throws {
        let configuration = network.configuration
        for step in configuration.steps { _ = try executable(step.type) }
        guard configuration.speaks("1.1.0") else { return }
        for step in configuration.steps {
            let input = configuration.input(for: step, capabilities: [:], previous: nil)
            _ = try await invoke(Call(step: step, verb: "STATUS", request: nil, input: input), on: starts)
        }
    }

    /// Tells every plugin (1.1.0) which attachments there are, so that it gives back the rest. All are tried.
    func collectGarbage(_ network: LoadedNetwork, keeping pods: [PodID]) async throws {
        let configuration = network.configuration
        guard configuration.speaks("1.1.0"), !configuration.disableGC else { return }
        let valid = JSONValue.array(
            pods.map { .object(["containerID": .string($0.rawValue), "ifname": .string(Self.interface)]) })
        var first: (any Error)?
        for step in configuration.steps {
            let input = configuration.input(
                for: step, capabilities: [:], previous: nil, extra: ["cni.dev/valid-attachments": valid])
            let call = Call(step: step, verb: "GC", request: nil, input: input)
            do { _ = try await invoke(call, on: teardowns) } catch { first = first ?? error }
        }
        if let first { throw first }
    }

    private func executable(_ type: String) throws -> String {
        for directory in binDirs where access("\(directory)/\(type)", X_OK) == 0 { return "\(directory)/\(type)" }
        throw BerthError(
            .unavailable, "CNI plugin '\(type)' is in none of \(binDirs.joined(separator: ", ")); install it there")
    }

    /// One run of one plugin; without a request for the verbs that concern no pod.
    private struct Call {
        let step: NetworkConfiguration.Step
        let verb: String
        let request: PodNetworkRequest?
        let input: [UInt8]
    }

    private func invoke(_ call: Call, on lane: Blocking.Lane) async throws -> JSONValue? {
        let path = try executable(call.step.type)
        var environment = [
            "CNI_COMMAND=\(call.verb)", "CNI_PATH=\(binDirs.joined(separator: ":"))",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
        if let request = call.request {
            environment += [
                "CNI_CONTAINERID=\(request.pod)", "CNI_NETNS=\(request.netns)", "CNI_IFNAME=\(Self.interface)",
                "CNI_ARGS=\(try CapabilityArguments.arguments(request))",
            ]
        }
        var command = ChildProcess.Command(path, environment: environment, input: call.input, deadline: deadline)
        command.outputLimit = Self.maxOutput
        let what = "CNI plugin '\(call.step.type)' \(call.verb)"
        let outcome: ChildProcess.Outcome
        do {
            let command = command
            outcome = try await Blocking.run(on: lane, what, deadline: deadline + Self.grace) {
                try ChildProcess.run(command)
            }
        } catch {
            throw BerthError.wrapping(error).during(what)
        }
        let reply = outcome.output.isEmpty ? nil : try? JSONValue(parsing: outcome.output)
        guard outcome.status == 0 else { throw Self.failure(what, outcome, reply) }
        if call.verb == "ADD", reply == nil, !outcome.output.isEmpty {
            let words = String(decoding: outcome.output.prefix(80), as: UTF8.self)
            throw BerthError(.internal, "\(what): it printed no JSON: '\(words)'")
        }
        return reply
    }

    private static func failure(_ what: String, _ outcome: ChildProcess.Outcome, _ reply: JSONValue?) -> BerthError {
        var words = reply?["msg"]?.string ?? ""
        if let details = reply?["details"]?.string, !details.isEmpty { words += ": \(details)" }
        if words.isEmpty { words = String(decoding: outcome.errors.suffix(1024), as: UTF8.self) }
        // Source: CNI spec, "Error": 11 is "try again later", 50 and 51 are "not available" of STATUS.
        let isPassing = [11, 50, 51].contains(reply?["code"]?.integer ?? 0)
        return BerthError(
            isPassing ? .unavailable : .unknown, "\(what) failed with status \(outcome.status): \(words)")
    }

    private static func addresses(in result: JSONValue) -> [String] {
        let interfaces = result["interfaces"]?.array ?? []
        func isPods(_ ip: JSONValue) -> Bool {
            guard let index = ip["interface"]?.integer, interfaces.indices.contains(Int(index)) else { return true }
            let owner = interfaces[Int(index)]
            return owner["name"]?.string == interface && !(owner["sandbox"]?.string ?? "").isEmpty
        }
        func bare(_ address: String) -> String { String(address.prefix { $0 != "/" }) }
        if let ips = result["ips"]?.array { return ips.filter(isPods).compactMap { $0["address"]?.string }.map(bare) }
        // Results before 0.3.0.
        return ["ip4", "ip6"].compactMap { result[$0]?["ip"]?.string }.map(bare)
    }
}
