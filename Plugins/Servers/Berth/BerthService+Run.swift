internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthOCI
internal import BerthServices

extension BerthService {
    /// Makes a pod of its own for a container and starts it; the image must be here.
    func run(_ request: Berth_V1_RunRequest, _ call: GRPCCall) async throws -> Berth_V1_RunResponse {
        guard !request.terminal else {
            throw BerthError(.unimplemented, "run '\(request.image)': a terminal is not supported yet; leave -t out")
        }
        guard !request.image.isEmpty else { throw BerthError(.invalidArgument, "run: no image was given") }
        let (pods, namespace) = (try self.pods, Self.defaultNamespace)
        let image = try await images.resolve(request.image, in: namespace)
        let name = request.name.isEmpty ? Self.madeUpName(for: request.image) : request.name
        try Identifier.validate(name, as: "name")
        let container = try containerSpec(request, name: name, image: image)
        let caller = caller(call)
        do {
            // One at a time with this name, from the look whether it is taken to the pod that takes it.
            return try await runs.names.run(name) {
                if let taken = try await pods.pods(in: namespace).first(where: { $0.spec.name == name }) {
                    throw BerthError(
                        .alreadyExists,
                        "run '\(request.image)': the name '\(name)' is taken by pod '\(taken.id)'; remove it first"
                    )
                }
                return try await start(container, in: podSpec(request, name: name), pods, caller)
            }
        } catch let error as BerthError where error.code == .notFound {
            // Of this call, notFound means the image: a client pulls it and calls again.
            throw BerthError(.failedPrecondition, error.message, cause: error.cause)
        }
    }

    private func start(
        _ container: ContainerSpec, in pod: PodSpec, _ pods: any PodEngine, _ caller: String
    ) async throws -> Berth_V1_RunResponse {
        let (name, namespace) = (pod.name, Self.defaultNamespace)
        return try await withUndo { undo in
            let pod = try await pods.runPod(pod, in: namespace, caller: caller)
            undo.add("pod '\(name)'") { try await pods.removePod(pod, in: namespace) }
            let id = try await pods.createContainer(container, pod: pod, in: namespace, caller: caller)
            try await pods.startContainer(id, in: namespace)
            var response = Berth_V1_RunResponse()
            response.id = id.rawValue
            response.podID = pod.rawValue
            response.ip = (try? await pods.pod(pod, in: namespace))?.addresses.first ?? ""
            return response
        }
    }

    private func podSpec(_ request: Berth_V1_RunRequest, name: String) -> PodSpec {
        var spec = PodSpec(name: name)
        // Its own: the pod of an earlier container of this name is another one.
        spec.uid = "berth-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        spec.hostname = request.hostname
        spec.labels = request.labels
        spec.annotations[HandRunPods.mark] = request.remove ? HandRunPods.removed : HandRunPods.kept
        if request.hostNetwork { spec.namespaces.network = .node }
        return spec
    }

    private func containerSpec(
        _ request: Berth_V1_RunRequest, name: String, image: ImageInfo
    ) throws -> ContainerSpec {
        var spec = ContainerSpec(name: name, image: image.names.first ?? image.id.description)
        spec.userImage = request.image
        spec.command = request.entrypoint
        spec.args = request.command
        spec.workingDirectory = request.workdir
        spec.environment = try request.env.map(Self.variable)
        spec.mounts = try request.volumes.map(Self.volume)
        spec.labels = request.labels
        spec.logPath = "log"
        guard request.memory >= 0, request.cpuMillis >= 0 else {
            throw BerthError(.invalidArgument, "run '\(request.image)': a limit is negative")
        }
        spec.resources.memoryLimit = request.memory
        if request.cpuMillis > 0 {
            spec.resources.cpuPeriod = 100_000
            // The kernel takes no quota below a millisecond.
            spec.resources.cpuQuota = max(1000, request.cpuMillis * 100)
        }
        if !request.user.isEmpty { spec.security.user = .named(request.user) }
        spec.security.readOnlyRootfs = request.readOnly
        spec.security.maskedPaths = OCISpec.standardMaskedPaths
        spec.security.readOnlyPaths = OCISpec.standardReadonlyPaths
        return spec
    }

    static func variable(_ text: String) throws -> EnvironmentVariable {
        guard let mark = text.firstIndex(of: "="), mark > text.startIndex else {
            throw BerthError(.invalidArgument, "variable '\(text.prefix(64))' is not NAME=VALUE")
        }
        return EnvironmentVariable(String(text[..<mark]), String(text[text.index(after: mark)...]))
    }

    private static func volume(_ volume: Berth_V1_Volume) throws -> VolumeMount {
        guard volume.source.hasPrefix("/"), volume.target.hasPrefix("/") else {
            throw BerthError(
                .invalidArgument, "volume '\(volume.source):\(volume.target)': both paths must be absolute")
        }
        return VolumeMount(target: volume.target, source: volume.source, readOnly: volume.readOnly)
    }

    /// `busybox-3fa91c` for `docker.io/library/busybox:1.36`.
    static func madeUpName(for image: String) -> String {
        let repository = image.prefix { $0 != "@" }.split(separator: "/").last ?? ""
        let base = repository.prefix { $0 != ":" }.filter { $0.isASCII && ($0.isLetter || $0.isNumber) }.prefix(40)
        let random = String(UInt32.random(in: 0x100000...0xffffff), radix: 16)
        return "\(base.isEmpty ? "container" : base)-\(random)"
    }
}
