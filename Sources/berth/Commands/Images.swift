internal import ArgumentParser
internal import BerthAPI
internal import BerthBase
internal import Glibc

struct Pull: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Pulls an image from a registry.")

    @OptionGroup var common: CommonOptions
    @Argument(help: "The image, e.g. busybox:1.36 or registry.example/app@sha256:….") var reference: String
    @Option(help: "The platform, e.g. linux/arm64; the host's if not given.") var platform = ""
    @Option(help: "The registry's user name; docker's config.json is used if not given.") var username = ""
    @Option(help: "A file with the registry's password; '-' is the standard input.") var passwordFile: String?
    @Flag(name: .customLong("plain-http"), help: "Talk http without TLS to this registry.") var plainHTTP = false
    @Option(name: .shortAndLong, help: "The containerd namespace.") var namespace = "default"

    func run() async throws {
        var request = Berth_V1_PullRequest()
        request.reference = reference
        request.platform = platform
        request.username = username
        request.namespace = namespace
        request.plainHTTP = plainHTTP
        if let passwordFile { request.password = try Self.password(in: passwordFile) }
        let daemon = try await common.connect()
        let image = try await Self.pull(request, from: daemon, quiet: common.output == .json)
        try show(image, common.output) { "\(image.name)\n\(image.id)  \(humanBytes(image.size))" }
    }

    /// Pulls, with progress on the standard error.
    static func pull(_ request: Berth_V1_PullRequest, from daemon: Daemon, quiet: Bool) async throws -> Berth_V1_Image {
        var bars = ProgressBars(quiet: quiet)
        var image = Berth_V1_Image()
        try await daemon.stream("Pull", request) { (progress: Berth_V1_PullProgress) in
            write(Array(bars.text(for: progress).utf8), to: 2)
            if progress.hasImage { image = progress.image }
        }
        return image
    }

    /// The first line of a file; `-` is the standard input.
    private static func password(in path: String) throws -> String {
        let descriptor = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw BerthError(.notFound, "read the password from '\(path)': \(String(cString: strerror(errno)))")
        }
        defer { if descriptor > 0 { close(descriptor) } }
        var text: [UInt8] = []
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) == 1, byte != 10, text.count < 64 << 10 { text.append(byte) }
        guard !text.isEmpty else { throw BerthError(.invalidArgument, "read the password from '\(path)': it is empty") }
        return String(decoding: text, as: UTF8.self)
    }
}

struct Images: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists images.")

    @OptionGroup var common: CommonOptions
    @Option(name: .shortAndLong, help: "The containerd namespace.") var namespace = "default"

    func run() async throws {
        var request = Berth_V1_ImagesRequest()
        request.namespace = namespace
        let response: Berth_V1_ImagesResponse = try await common.connect().call("Images", request)
        try show(response, common.output) {
            var table = Table("IMAGE", "ID", "PLATFORM", "SIZE", "CREATED")
            for image in response.images {
                let id = String(image.id.dropFirst(7).prefix(12))
                table.add(image.name, id, image.platform, humanBytes(image.size), age(of: image.createdAt))
            }
            return table.text
        }
    }
}

struct RemoveImage: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "rmi", abstract: "Removes an image by name or ID.")

    @OptionGroup var common: CommonOptions
    @Argument(help: "The images.") var names: [String]
    @Option(name: .shortAndLong, help: "The containerd namespace.") var namespace = "default"

    func run() async throws {
        let daemon = try await common.connect()
        for name in names {
            var request = Berth_V1_RemoveImageRequest()
            request.name = name
            request.namespace = namespace
            let response: Berth_V1_RemoveImageResponse = try await daemon.call("RemoveImage", request)
            try show(response, common.output) { response.removed.joined(separator: "\n") }
        }
    }
}
