internal import BerthAPI
internal import BerthBase
internal import BerthGRPC
internal import BerthServices
internal import SwiftProtobuf
internal import SystemPackage

/// `runtime.v1.ImageService` over the image service.
struct ImageRPC: GRPCService {
    let engine: any PodEngine
    let images: any ImageService
    let operations: any OperationTable
    let usage: StorageUsage
    let snapshotter: String

    var name: String { "runtime.v1.ImageService" }
    private static let namespace = RuntimeRPC.namespace
    /// How long a pull may go on; the image service ends one without progress much earlier.
    static let pullDeadline: Duration = .seconds(3600)

    var methods: [GRPCMethod] {
        [
            .unary("ListImages") { (request: Runtime_V1_ListImagesRequest, _) in
                var response = Runtime_V1_ListImagesResponse()
                response.images = try await list(request.filter)
                return response
            },
            .serverStreaming("StreamImages") {
                (
                    request: Runtime_V1_StreamImagesRequest, _,
                    send: @escaping @Sendable (Runtime_V1_StreamImagesResponse) async throws -> Void
                ) in
                for part in try await list(request.filter).batches(of: RuntimeRPC.batch) {
                    var response = Runtime_V1_StreamImagesResponse()
                    response.images = Array(part)
                    try await send(response)
                }
            },
            .unary("ImageStatus") { (request: Runtime_V1_ImageStatusRequest, _) in try await status(request) },
            .unary("PullImage") { (request: Runtime_V1_PullImageRequest, call) in
                try await pull(request, caller: RuntimeRPC.caller(call))
            },
            .unary("RemoveImage") { (request: Runtime_V1_RemoveImageRequest, _) in
                _ = try await images.remove(try Self.reference(request.image), in: Self.namespace)
                return Runtime_V1_RemoveImageResponse()
            },
            .unary("ImageFsInfo") { (_: Runtime_V1_ImageFsInfoRequest, _) in try await usage.response() },
        ]
    }

    private static func reference(_ spec: Runtime_V1_ImageSpec) throws -> String {
        guard !spec.image.isEmpty else { throw BerthError(.invalidArgument, "image.image is empty") }
        return spec.image
    }

    /// Handlers share one snapshotter, so a known one only has to be known.
    private func checkHandler(_ spec: Runtime_V1_ImageSpec) throws {
        guard spec.runtimeHandler.isEmpty || engine.runtimeHandlers.contains(spec.runtimeHandler) else {
            throw BerthError(.invalidArgument, "image.runtime_handler '\(spec.runtimeHandler)' is none of this node")
        }
    }

    private func list(_ filter: Runtime_V1_ImageFilter) async throws -> [Runtime_V1_Image] {
        try checkHandler(filter.image)
        if filter.image.image.isEmpty { return try await images.list(in: Self.namespace).map { $0.message() } }
        return try await find(filter.image.image).map { [$0.message()] } ?? []
    }

    private func find(_ reference: String) async throws -> ImageInfo? {
        do { return try await images.resolve(reference, in: Self.namespace) } catch let error as BerthError
            where error.code == .notFound
        {
            return nil
        }
    }

    /// A missing image is an answer without an image.
    private func status(_ request: Runtime_V1_ImageStatusRequest) async throws -> Runtime_V1_ImageStatusResponse {
        try checkHandler(request.image)
        var response = Runtime_V1_ImageStatusResponse()
        guard let info = try await find(try Self.reference(request.image)) else { return response }
        response.image = info.message()
        if request.verbose {
            var fields: [String: JSONValue] = ["chainID": .string(info.chainID?.description ?? "")]
            fields["imageSpec"] = try JSONValue(parsing: info.config)
            fields["manifest"] = .string(info.manifest.digest.description)
            fields["platform"] = .string(info.platform.description)
            response.info = ["info": String(decoding: JSONValue.object(fields).encoded(), as: UTF8.self)]
        }
        return response
    }

    private func pull(_ request: Runtime_V1_PullImageRequest, caller: String) async throws
        -> Runtime_V1_PullImageResponse
    {
        try checkHandler(request.image)
        var wanted = PullRequest(try Self.reference(request.image), in: Self.namespace)
        wanted.snapshotter = snapshotter
        if request.hasAuth { wanted.credential = try RegistryCredential(request.auth) }
        let pull = wanted
        // Joined by what is pulled and with which credential: another caller's refusal is never this one's.
        let auth: [UInt8] = try request.auth.serializedBytes()
        let fingerprint = try LocalPodEngine.digest(auth)
        let key = OperationKey(
            kind: "PullImage", identity: "\(Self.namespace)/\(pull.reference)/\(fingerprint)", fingerprint: fingerprint,
            subject: pull.reference, caller: caller)
        let id = try await operations.run(key, deadline: Self.pullDeadline, abandon: nil) { stage in
            try await images.pull(pull) { progress in
                let done = progress.layers.filter { $0.state == .done || $0.state == .exists }.count
                stage.enter(progress.stage, waitingFor: "\(done) of \(progress.layers.count) layers")
            }.id.description
        }
        var response = Runtime_V1_PullImageResponse()
        response.imageRef = id
        return response
    }
}

extension RegistryCredential {
    /// - Throws: `invalidArgument` for an `auth` that is not base64 of `user:password`.
    fileprivate init?(_ auth: Runtime_V1_AuthConfig) throws {
        let host = auth.serverAddress.isEmpty ? nil : Self.host(auth.serverAddress)
        if !auth.registryToken.isEmpty {
            self.init(.registryToken(auth.registryToken), host: host)
        } else if !auth.identityToken.isEmpty {
            self.init(.identityToken(auth.identityToken), host: host)
        } else if !auth.username.isEmpty || !auth.password.isEmpty {
            self.init(.basic(username: auth.username, password: auth.password), host: host)
        } else if !auth.auth.isEmpty {
            guard let bytes = Base64.decode(auth.auth), let text = String(validating: bytes, as: UTF8.self),
                let colon = text.firstIndex(of: ":")
            else { throw BerthError(.invalidArgument, "auth.auth is not base64 of user:password") }
            let password = text[text.index(after: colon)...].prefix { $0 != "\0" }
            self.init(.basic(username: String(text[..<colon]), password: String(password)), host: host)
        } else {
            return nil
        }
    }

    /// The host of an address like `https://registry.example/v1/`.
    private static func host(_ address: String) -> String {
        var rest = Substring(address)
        if let scheme = rest.firstRange(of: "://") { rest = rest[scheme.upperBound...] }
        return String(rest.prefix { $0 != "/" })
    }
}
