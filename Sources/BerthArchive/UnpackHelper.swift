internal import BerthBase
internal import BerthSystem
internal import CBerthUnpack
internal import Glibc
internal import SystemPackage

/// The process that unpacks a layer: the daemon's own binary, run again with `unpack-helper`, confined before it
/// reads the first byte. A hostile layer meets a process that sees one directory, has no network, can start nothing
/// and make no system call but those that write files.
///
/// The compressed bytes come on standard input; progress and the result go to standard output, a JSON object a line.
package enum UnpackHelper {
    /// The command's name, for the daemon's table of helper commands.
    package static let command = "unpack-helper"
    /// The memory a helper may map: decompression windows, thread stacks, the shared libraries.
    static let addressSpace: UInt64 = 4 << 30
    /// Progress is told after this many bytes.
    private static let progressStep: Int64 = 8 << 20

    /// The helper's main function: `arguments` is what follows the command's name. Returns the exit status.
    package static func main(_ arguments: [String]) -> Int32 {
        if arguments.first == UnpackNursery.argument { return UnpackNursery.serve() }
        do {
            guard let text = arguments.first else { throw BerthError(.invalidArgument, "unpack-helper: no request") }
            let result = try run(UnpackRequest(JSONValue(parsing: Array(text.utf8))))
            return tell(.object(["result": result.json])) ? 0 : 1
        } catch {
            let wrong = BerthError.wrapping(error)
            _ = tell(
                .object([
                    "code": .number(String(wrong.code.rawValue)), "message": .string(wrong.description),
                ]))
            return 1
        }
    }

    private static func tell(_ value: JSONValue) -> Bool {
        (try? Files.write(value.encoded() + [0x0a], to: STDOUT_FILENO)) != nil
    }

    private static func run(_ request: UnpackRequest) throws -> UnpackResult {
        let namespaces = berth_unpack_namespaces()
        guard namespaces == 0 else {
            throw BerthError(Errno(rawValue: -namespaces), "confine the unpack helper: make namespaces")
        }
        // What the daemon names is opened before the doors close; nothing of the layer is read until then.
        let lowers = try LowerDirectories(request.lowers)
        let manifest = try request.manifest.map { try open(manifest: $0) }
        let target = try open(directory: request.target)
        try confine(target.rawValue)
        let root = try open(directory: "/")
        let applier = try LayerApplier(
            root: root.rawValue, form: request.whiteouts, lowers: lowers.descriptors, manifest: manifest)
        var told: Int64 = 0
        let pipeline = LayerPipeline(
            compression: request.compression, hashesInput: request.hashesInput,
            diffAlgorithm: request.diffID?.algorithm ?? .sha256, maxSize: request.maxSize
        ) { done in
            guard done - told >= progressStep else { return }
            told = done
            _ = tell(.object(["progress": .number(String(done))]))
        }
        let result = try pipeline.run(from: STDIN_FILENO, into: applier) {
            let filtered = berth_unpack_filter()
            guard filtered == 0 else {
                throw BerthError(Errno(rawValue: -filtered), "unpack a layer: install the system call filter")
            }
        }
        try check(result, request)
        return result
    }

    private static func check(_ result: UnpackResult, _ request: UnpackRequest) throws {
        if let wanted = request.diffID, wanted != result.diffID {
            throw BerthError(
                .dataLoss, "unpack a layer: its contents hash to \(result.diffID), the image says \(wanted)")
        }
    }

    private static func confine(_ target: Int32) throws {
        var stage: UnsafePointer<CChar>?
        let result = berth_unpack_confine(target, addressSpace, &stage)
        guard result < 0 else { return }
        let what = stage.map { String(cString: $0) } ?? "begin"
        throw BerthError(Errno(rawValue: -result), "confine the unpack helper: \(what)")
    }

    private static func open(directory: String) throws -> OwnedFD {
        try attempting("unpack a layer: open '\(directory)'") { () throws(Errno) in
            try Files.open(directory, O_RDONLY | O_DIRECTORY)
        }
    }

    private static func open(manifest path: String) throws -> ManifestWriter {
        let file = try attempting("unpack a layer: make '\(path)'") { () throws(Errno) in
            try Files.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode: 0o600)
        }
        return ManifestWriter(file)
    }

    /// Unpacks within the calling process, unconfined: for tests and for layers of one's own making.
    package static func unpackHere(_ request: UnpackRequest, from input: Int32) throws -> UnpackResult {
        let lowers = try LowerDirectories(request.lowers)
        let manifest = try request.manifest.map { try open(manifest: $0) }
        let target = try open(directory: request.target)
        let applier = try LayerApplier(
            root: target.rawValue, form: request.whiteouts, lowers: lowers.descriptors, manifest: manifest)
        let pipeline = LayerPipeline(
            compression: request.compression, hashesInput: request.hashesInput,
            diffAlgorithm: request.diffID?.algorithm ?? .sha256, maxSize: request.maxSize,
            progress: { _ in })
        let result = try pipeline.run(from: input, into: applier)
        try check(result, request)
        return result
    }
}

/// The open directories of the layers below.
private final class LowerDirectories {
    let descriptors: [Int32]

    init(_ paths: [String]) throws {
        var opened: [Int32] = []
        do {
            for path in paths {
                opened.append(
                    try attempting("unpack a layer: open '\(path)'") { () throws(Errno) in
                        try Files.directory(path).release()
                    })
            }
        } catch {
            for descriptor in opened { close(descriptor) }
            throw error
        }
        descriptors = opened
    }

    deinit { for descriptor in descriptors { close(descriptor) } }
}
