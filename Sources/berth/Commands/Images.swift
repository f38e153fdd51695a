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
    @Flag(help: "Talk http without TLS to this registry.") var plainHTTP = false
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

    /// Pulls with progress bars on a terminal's standard error.
    static func pull(_ request: Berth_V1_PullRequest, from daemon: Daemon, quiet: Bool) async throws -> Berth_V1_Image {
        var bars = ProgressBars(active: !quiet && isatty(2) == 1)
        var image = Berth_V1_Image()
        try await daemon.stream("Pull", request) { (progress: Berth_V1_PullProgress) in
            bars.draw(progress)
            if progress.hasImage { image = progress.image }
        }
        return image
    }

    private static func password(in path: String) throws -> String {
        guard let file = path == "-" ? stdin : fopen(path, "r") else {
            throw BerthError(.notFound, "read the password from '\(path)': \(String(cString: strerror(errno)))")
        }
        guard let line = Self.line(of: file) else {
            throw BerthError(.invalidArgument, "read the password from '\(path)': it is empty")
        }
        return line
    }

    private static func line(of file: UnsafeMutablePointer<FILE>) -> String? {
        var text: [UInt8] = []
        while true {
            let character = fgetc(file)
            if character == EOF || character == 10 { break }
            text.append(UInt8(truncatingIfNeeded: character))
        }
        return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
    }
}

/// One line a layer, redrawn in place.
struct ProgressBars {
    let active: Bool
    private var drawn = 0

    init(active: Bool) { self.active = active }

    mutating func draw(_ progress: Berth_V1_PullProgress) {
        guard active else { return }
        var text = drawn > 0 ? "\u{1b}[\(drawn)A" : ""
        for layer in progress.layers {
            let name = String(layer.digest.dropFirst(7).prefix(12))
            let width = 30
            let filled = layer.total > 0 ? Int(Double(width) * Double(layer.offset) / Double(layer.total)) : 0
            let bar = String(repeating: "=", count: filled) + String(repeating: " ", count: max(0, width - filled))
            let figures = "\(humanBytes(layer.offset)) of \(humanBytes(layer.total))"
            text += "\r\u{1b}[K\(name)  \(layer.state.padding(12))[\(bar)] \(figures)\n"
        }
        drawn = progress.layers.count
        write(Array(text.utf8), to: 2)
    }
}

extension String {
    /// The text with spaces behind it up to `width`.
    func padding(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
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
    @Argument(help: "The image.") var name: String
    @Option(name: .shortAndLong, help: "The containerd namespace.") var namespace = "default"

    func run() async throws {
        var request = Berth_V1_RemoveImageRequest()
        request.name = name
        request.namespace = namespace
        let response: Berth_V1_RemoveImageResponse = try await common.connect().call("RemoveImage", request)
        try show(response, common.output) { response.removed.joined(separator: "\n") }
    }
}
