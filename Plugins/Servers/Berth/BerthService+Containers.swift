internal import BerthAPI
internal import BerthBase
internal import BerthServices
internal import FoundationEssentials
internal import SwiftProtobuf

extension BerthService {
    /// How long a container has for its stop signal when the request does not say.
    static let stopTimeout = Duration.seconds(10)

    func list(_ request: Berth_V1_ContainersRequest) async throws -> Berth_V1_ContainersResponse {
        let wanted = request.namespace.isEmpty ? nil : NamespaceID(request.namespace)
        let addresses = Dictionary(
            try await pods.pods(in: wanted).map { ($0.id, $0.addresses.first ?? "") },
            uniquingKeysWith: { first, _ in first })
        var response = Berth_V1_ContainersResponse()
        response.containers = try await pods.containers(in: wanted)
            .filter { request.all || $0.state == .running || $0.state == .created }
            .sorted { $0.createdAt > $1.createdAt }
            .map { Self.message($0, address: addresses[$0.pod] ?? "") }
        return response
    }

    private static func message(_ info: ContainerInfo, address: String) -> Berth_V1_Container {
        var message = Berth_V1_Container()
        message.id = info.id.rawValue
        message.name = info.spec.name
        message.podID = info.pod.rawValue
        message.namespace = info.namespace.rawValue
        message.image = info.spec.userImage.isEmpty ? info.spec.image : info.spec.userImage
        message.command = info.arguments.joined(separator: " ")
        message.state = info.state.rawValue
        message.exitCode = info.exitCode
        message.reason = info.reason
        message.createdAt = Google_Protobuf_Timestamp(info.createdAt)
        if let time = info.startedAt { message.startedAt = Google_Protobuf_Timestamp(time) }
        if let time = info.finishedAt { message.finishedAt = Google_Protobuf_Timestamp(time) }
        // A pod that has ended has given its address back.
        message.ip = info.state == .exited ? "" : address
        message.pid = info.pid
        message.labels = info.spec.labels
        return message
    }

    /// Finds a container of any namespace by its ID, a prefix of it, or its name (`default` goes first).
    func find(_ text: String) async throws -> ContainerInfo {
        guard !text.isEmpty else { throw BerthError(.invalidArgument, "no container was named") }
        let all = try await pods.containers(in: nil)
        if let exact = all.first(where: { $0.id.rawValue == text }) { return exact }
        let named = all.filter { $0.spec.name == text }
        let own = named.filter { $0.namespace == Self.defaultNamespace }
        for matches in [own, named, all.filter { $0.id.rawValue.hasPrefix(text) }] where !matches.isEmpty {
            // Of containers that were made again under their name, the newest is meant.
            if matches.count == 1 { return matches[0] }
            if matches == own, let newest = own.max(by: { $0.createdAt < $1.createdAt }) { return newest }
            let ids = matches.prefix(4).map { String($0.id.rawValue.prefix(12)) }.joined(separator: ", ")
            throw BerthError(.invalidArgument, "'\(text)' is ambiguous: \(matches.count) containers have it (\(ids))")
        }
        throw BerthError(.notFound, "container '\(text)' not found; `berth ps -a` lists all")
    }

    func inspect(_ request: Berth_V1_InspectRequest) async throws -> Berth_V1_InspectResponse {
        var response = Berth_V1_InspectResponse()
        do {
            let info = try await find(request.id)
            response.json = .init(try await pods.inspect(info.id.rawValue, in: info.namespace))
        } catch let error as BerthError where error.code == .notFound {
            let matches = try await pods.pods(in: nil).filter {
                $0.id.rawValue.hasPrefix(request.id) || $0.spec.name == request.id
            }
            guard let pod = matches.first, matches.count == 1 else {
                throw BerthError(.notFound, "no container or pod '\(request.id)'; `berth ps -a` lists all")
            }
            response.json = .init(try await pods.inspect(pod.id.rawValue, in: pod.namespace))
        }
        return response
    }

    func wait(_ request: Berth_V1_WaitRequest) async throws -> Berth_V1_WaitResponse {
        let found = try await find(request.id)
        let info = try await runs.watched(found.id) {
            try await pods.waitContainer(found.id, in: found.namespace)
        }
        var response = Berth_V1_WaitResponse()
        response.exitCode = info.exitCode
        response.reason = info.reason
        if let time = info.finishedAt { response.finishedAt = Google_Protobuf_Timestamp(time) }
        return response
    }

    func stop(_ request: Berth_V1_StopRequest) async throws -> Berth_V1_StopResponse {
        let info = try await find(request.id)
        let timeout = request.hasTimeout ? request.timeout.value : Self.stopTimeout
        guard timeout >= .zero else {
            throw BerthError(.invalidArgument, "stop '\(request.id)': the timeout is negative")
        }
        try await pods.stopContainer(info.id, in: info.namespace, timeout: timeout)
        return Berth_V1_StopResponse()
    }

    func remove(_ request: Berth_V1_RemoveRequest) async throws -> Berth_V1_RemoveResponse {
        let info = try await find(request.id)
        guard request.force || info.state != .running else {
            throw BerthError(
                .failedPrecondition, "remove '\(request.id)': it is running; stop it first, or use --force")
        }
        if try await isHandRun(info) {
            try await pods.removePod(info.pod, in: info.namespace)
        } else {
            try await pods.removeContainer(info.id, in: info.namespace)
        }
        return Berth_V1_RemoveResponse()
    }

    private func isHandRun(_ info: ContainerInfo) async throws -> Bool {
        do { return HandRunPods.isOurs(try await pods.pod(info.pod, in: info.namespace)) } catch let error as BerthError
            where error.code == .notFound
        { return false }
    }

    func exec(_ request: Berth_V1_ExecRequest) async throws -> Berth_V1_ExecResponse {
        let info = try await find(request.id)
        guard !request.command.isEmpty else {
            throw BerthError(.invalidArgument, "exec in '\(request.id)': no command was given")
        }
        var wanted = ExecRequest(request.command)
        wanted.environment = try request.env.map(Self.variable)
        wanted.workingDirectory = request.workdir
        wanted.user = request.user
        let timeout = request.timeout.value
        let result = try await pods.execSync(
            info.id, in: info.namespace, wanted, timeout: timeout > .zero ? timeout : nil)
        var response = Berth_V1_ExecResponse()
        response.stdout = .init(result.stdout)
        response.stderr = .init(result.stderr)
        response.exitCode = result.exitCode
        return response
    }
}
