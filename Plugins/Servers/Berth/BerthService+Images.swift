internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthServices
internal import SwiftProtobuf

extension BerthService {
    /// How long a pull may take; no progress ends it much sooner.
    static let pullDeadline = Duration.seconds(3600)

    /// Pulls as an operation of its own: a client that goes away does not end it, and its retry finds the image.
    func pull(
        _ request: Berth_V1_PullRequest, _ call: GRPCCall,
        _ send: @escaping @Sendable (Berth_V1_PullProgress) async throws -> Void
    ) async throws {
        let wanted = try pullRequest(request)
        let reference = try images.normalize(request.reference)
        // Only the newest report is of interest to a client that reads slowly.
        let (reports, continuation) = AsyncStream<PullProgress>.makeStream(bufferingPolicy: .bufferingNewest(1))
        // Pulls of one image share their blobs inside the image service, after each caller's own credential was
        // tried; here each is an operation of its own.
        let key = OperationKey(
            kind: "PullImage", identity: "\(ObjectIdentifier(Shared(0)))\(Timestamp.now().nanoseconds)",
            subject: reference, caller: caller(call))
        async let image = operations.run(key, deadline: Self.pullDeadline, abandon: nil) { [images] stage in
            defer { continuation.finish() }
            return try await images.pull(wanted) { progress in
                stage.enter(progress.stage, waitingFor: Self.open(progress))
                continuation.yield(progress)
            }
        }
        for await report in reports { try await send(Self.message(report)) }
        var last = Berth_V1_PullProgress()
        last.stage = "done"
        last.image = Self.message(try await image, name: reference)
        try await send(last)
    }

    private func pullRequest(_ request: Berth_V1_PullRequest) throws -> PullRequest {
        var wanted = PullRequest(request.reference, in: namespace(request.namespace))
        wanted.plainHTTP = request.plainHTTP
        if !request.platform.isEmpty { wanted.platform = try Self.platform(request.platform) }
        if !request.username.isEmpty {
            wanted.credential = RegistryCredential(.basic(username: request.username, password: request.password))
        } else if !request.password.isEmpty {
            throw BerthError(.invalidArgument, "pull '\(request.reference)': a password without a user name")
        }
        return wanted
    }

    private static func platform(_ text: String) throws -> Platform {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
            throw BerthError(.invalidArgument, "platform '\(text)' is not OS/ARCHITECTURE[/VARIANT], e.g. linux/arm64")
        }
        return Platform(architecture: parts[1], os: parts[0], variant: parts.count == 3 ? parts[2] : nil)
    }

    /// What a pull waits for, in a few words.
    private static func open(_ progress: PullProgress) -> String {
        let open = progress.layers.filter { $0.state != .done && $0.state != .exists }
        guard !open.isEmpty else { return "" }
        let (done, total) = progress.layers.reduce((Int64(0), Int64(0))) { ($0.0 + $1.offset, $0.1 + $1.total) }
        return "\(open.count) of \(progress.layers.count) layers, \(done) of \(total) bytes"
    }

    private static func message(_ progress: PullProgress) -> Berth_V1_PullProgress {
        var message = Berth_V1_PullProgress()
        message.stage = progress.stage
        message.layers = progress.layers.map { layer in
            var one = Berth_V1_LayerProgress()
            one.digest = layer.digest.description
            one.state = layer.state.rawValue
            one.offset = layer.offset
            one.total = layer.total
            return one
        }
        return message
    }

    func list(_ request: Berth_V1_ImagesRequest) async throws -> Berth_V1_ImagesResponse {
        var response = Berth_V1_ImagesResponse()
        for image in try await images.list(in: namespace(request.namespace)) {
            // One row a tag; an image that only digests name has one row with the first.
            let tags = image.names.filter { !$0.contains("@") }
            let names = tags.isEmpty ? [image.names.first ?? ""] : tags
            response.images += names.map { Self.message(image, name: $0) }
        }
        return response
    }

    func remove(_ request: Berth_V1_RemoveImageRequest) async throws -> Berth_V1_RemoveImageResponse {
        guard !request.name.isEmpty else { throw BerthError(.invalidArgument, "remove an image: no name was given") }
        let namespace = namespace(request.namespace)
        var response = Berth_V1_RemoveImageResponse()
        response.removed = try await images.remove(request.name, in: namespace)
        guard !response.removed.isEmpty else {
            throw BerthError(.notFound, "image '\(request.name)' not found in namespace '\(namespace)'")
        }
        return response
    }

    private static func message(_ image: ImageInfo, name: String) -> Berth_V1_Image {
        var message = Berth_V1_Image()
        message.name = name
        message.id = image.id.description
        message.digest = image.target.digest.description
        message.size = image.size
        message.createdAt = Google_Protobuf_Timestamp(image.createdAt)
        message.platform = image.platform.description
        message.labels = image.labels
        return message
    }
}
