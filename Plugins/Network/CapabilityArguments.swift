internal import BerthBase
internal import BerthServices

/// What a pod asks for in the words of CNI's capability conventions. Source: CONVENTIONS.md of the CNI project.
enum CapabilityArguments {
    /// All of them; each plugin is given those it declares.
    static func of(_ request: PodNetworkRequest, podCIDR: String?) -> [String: JSONValue] {
        var all: [String: JSONValue] = [:]
        let published = request.portMappings.filter { $0.hostPort > 0 }
        if !published.isEmpty { all["portMappings"] = .array(published.map(portMapping)) }
        if let bandwidth = bandwidth(request) { all["bandwidth"] = bandwidth }
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

    private static func portMapping(_ mapping: PortMapping) -> JSONValue {
        .object([
            "hostPort": .number("\(mapping.hostPort)"), "containerPort": .number("\(mapping.containerPort)"),
            "protocol": .string(mapping.transport.lowercased()), "hostIP": .string(mapping.hostIP),
        ])
    }

    private static func bandwidth(_ request: PodNetworkRequest) -> JSONValue? {
        // The bandwidth plugin wants a burst with each rate; this is the largest it takes, as other daemons give.
        let burst = JSONValue.number("\(Int32.max)")
        var fields: [String: JSONValue] = [:]
        if request.ingressRate > 0 {
            fields["ingressRate"] = .number("\(request.ingressRate)")
            fields["ingressBurst"] = burst
        }
        if request.egressRate > 0 {
            fields["egressRate"] = .number("\(request.egressRate)")
            fields["egressBurst"] = burst
        }
        return fields.isEmpty ? nil : .object(fields)
    }

    /// `CNI_ARGS`.
    ///
    /// - Throws: `invalidArgument` for a word that would add an argument of its own.
    static func arguments(_ request: PodNetworkRequest) throws -> String {
        var words = ["IgnoreUnknown=1"]
        for (name, value) in request.arguments.sorted(by: { $0.key < $1.key }) {
            let isSplit = (name + value).utf8.contains { $0 == UInt8(ascii: ";") || $0 == 0 }
            guard !name.contains("="), !isSplit else {
                throw BerthError(.invalidArgument, "CNI argument '\(name)' has a ';' or a zero byte in it: '\(value)'")
            }
            words.append("\(name)=\(value)")
        }
        return words.joined(separator: ";")
    }
}
