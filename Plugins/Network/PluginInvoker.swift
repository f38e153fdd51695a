internal import BerthBase
internal import BerthServices
internal import BerthSystem
internal import Glibc

/// Runs CNI plugins. Source: CNI spec 1.1, sections 2 to 5.
struct PluginInvoker: Sendable {
    let binDirs: [String]
    let deadline: Duration
    /// The pod's interface.
    static let interface = "eth0"

    /// Runs ADD of every plugin in order.
    func add(_ network: LoadedNetwork, _ request: PodNetworkRequest, podCIDR: String?) async throws -> PodNetworkResult {
        let configuration = network.configuration
        let capabilities = Self.capabilities(of: request, podCIDR: podCIDR)
        var previous: JSONValue?
        for step in configuration.steps {
            let input = configuration.input(for: step, capabilities: capabilities, previous: previous)
            previous = try await invoke(step, "ADD", request, input) ?? previous
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
        let previous = attachment.result.isEmpty ? nil : try JSONValue(parsing: attachment.result)
        let capabilities = Self.capabilities(of: attachment.request, podCIDR: nil)
        var first: (any Error)?
        for step in configuration.steps.reversed() {
            let input = configuration.input(for: step, capabilities: capabilities, previous: previous)
            do { _ = try await invoke(step, "DEL", attachment.request, input) } catch { first = first ?? error }
        }
        if let first { throw first }
    }

    /// Runs CHECK of every plugin, where the configuration's version has it.
    func check(_ attachment: Attachment) async throws {
        let configuration = try NetworkConfiguration(file: attachment.file, bytes: attachment.configuration)
        guard !configuration.disableCheck, ["0.4.0", "1.0.0", "1.1.0"].contains(configuration.cniVersion) else { return }
        let previous = try JSONValue(parsing: attachment.result)
        let capabilities = Self.capabilities(of: attachment.request, podCIDR: nil)
        for step in configuration.steps {
            let input = configuration.input(for: step, capabilities: capabilities, previous: previous)
            _ = try await invoke(step, "CHECK", attachment.request, input)
        }
    }

    /// Runs STATUS, where the configuration's version has it (1.1.0). Nil: ready.
    func status(_ network: LoadedNetwork) async throws -> String? {
        for step in network.configuration.steps { _ = try executable(step.type) }
        guard network.configuration.cniVersion == "1.1.0" else { return nil }
        let request = PodNetworkRequest(pod: "", netns: "")
        for step in network.configuration.steps {
            let input = network.configuration.input(for: step, capabilities: [:], previous: nil)
            do { _ = try await invoke(step, "STATUS", request, input) } catch { return "\(error)" }
        }
        return nil
    }

    private func executable(_ type: String) throws -> String {
        for directory in binDirs where access("\(directory)/\(type)", X_OK) == 0 { return "\(directory)/\(type)" }
        throw BerthError(
            .unavailable, "CNI plugin '\(type)' is in none of \(binDirs.joined(separator: ", ")); install it there")
    }

    private func invoke(
        _ step: NetworkConfiguration.Step, _ verb: String, _ request: PodNetworkRequest, _ input: [UInt8]
    ) async throws -> JSONValue? {
        let path = try executable(step.type)
        var environment = [
            "CNI_COMMAND=\(verb)", "CNI_PATH=\(binDirs.joined(separator: ":"))",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
        if verb != "STATUS" {
            let arguments = request.arguments.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            environment += [
                "CNI_CONTAINERID=\(request.pod)", "CNI_NETNS=\(request.netns)", "CNI_IFNAME=\(Self.interface)",
                "CNI_ARGS=\((["IgnoreUnknown=1"] + arguments).joined(separator: ";"))",
            ]
        }
        let command = ChildProcess.Command(path, environment: environment, input: input, deadline: deadline)
        let outcome = try await Blocking.run(
            on: Blocking.foreign, "CNI plugin '\(step.type)' \(verb)", deadline: deadline + .seconds(5)
        ) { try ChildProcess.run(command) }
        let reply = outcome.output.isEmpty ? nil : try? JSONValue(parsing: outcome.output)
        guard outcome.status == 0 else { throw Self.failure(step.type, verb, outcome, reply) }
        return reply
    }

    private static func failure(
        _ type: String, _ verb: String, _ outcome: ChildProcess.Outcome, _ reply: JSONValue?
    ) -> BerthError {
        var words = reply?["msg"]?.string ?? ""
        if let details = reply?["details"]?.string, !details.isEmpty { words += ": \(details)" }
        if words.isEmpty { words = String(decoding: outcome.errors.suffix(1024), as: UTF8.self) }
        // Source: CNI spec, "Error": 11 is "try again later".
        let code: BerthError.Code = reply?["code"]?.integer == 11 ? .unavailable : .unknown
        return BerthError(code, "CNI plugin '\(type)' \(verb) failed with status \(outcome.status): \(words)")
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

    private static func capabilities(of request: PodNetworkRequest, podCIDR: String?) -> [String: JSONValue] {
        var all: [String: JSONValue] = [:]
        if !request.portMappings.isEmpty {
            all["portMappings"] = .array(
                request.portMappings.map { mapping in
                    .object([
                        "hostPort": .number("\(mapping.hostPort)"), "containerPort": .number("\(mapping.containerPort)"),
                        "protocol": .string(mapping.transport), "hostIP": .string(mapping.hostIP),
                    ])
                })
        }
        if request.ingressRate > 0 || request.egressRate > 0 {
            // Source: the bandwidth plugin's documentation; burst as the kubelet's shaper had it.
            let burst = JSONValue.number("\(Int32.max)")
            all["bandwidth"] = .object([
                "ingressRate": .number("\(request.ingressRate)"), "ingressBurst": burst,
                "egressRate": .number("\(request.egressRate)"), "egressBurst": burst,
            ])
        }
        if !request.dnsServers.isEmpty {
            all["dns"] = .object(["servers": .array(request.dnsServers.map(JSONValue.string))])
        }
        if !request.cgroupPath.isEmpty { all["cgroupPath"] = .string(request.cgroupPath) }
        if let podCIDR {
            all["ipRanges"] = .array(
                podCIDR.split(separator: ",").map { .array([.object(["subnet": .string(String($0))])]) })
        }
        return all
    }
}
