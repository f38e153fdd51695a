import BerthArchive
import BerthBase
import BerthSystem
import Glibc

/// A temporary directory with a layer's target and a marker outside it that no layer may touch.
final class World {
    let path: String
    var target: String { path + "/fs" }
    var manifest: String { path + "/manifest" }
    var marker: String { path + "/marker" }

    init() throws {
        var template = Array("/tmp/berth-archive-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BerthError(.internal, "mkdtemp") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        mkdir(path + "/fs", 0o755)
        mkdir(path + "/outside", 0o755)
        try Files.replace(path + "/marker", with: Array("marker".utf8), mode: 0o640)
        before = try facts()
    }

    private var before = ""

    deinit { run("rm", "-rf", path) }

    /// Everything outside the target: names, modes, owners, sizes, times and the marker's text.
    func facts() throws -> String {
        var text = try Files.text(marker)
        for name in try Files.names(in: path).sorted() where name != "fs" && name != "manifest" && name != "blob" {
            var status = stat()
            lstat(path + "/" + name, &status)
            text +=
                "\n\(name) \(status.st_mode) \(status.st_uid) \(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
        }
        return text + "\n\(try Files.names(in: path + "/outside"))"
    }

    var isUntouched: Bool { (try? facts()) == before }

    /// Runs a program of the host to its end.
    @discardableResult
    func run(_ words: String...) -> (status: Int32, output: String) {
        let outcome = try? ChildProcess.run(
            .init("/usr/bin/env", words, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], deadline: .seconds(60)))
        return (outcome?.status ?? -1, String(decoding: outcome?.output ?? [], as: UTF8.self))
    }

    /// Unpacks within the test's process.
    @discardableResult
    func unpack(
        _ archive: [UInt8], _ compression: Compression = .none, _ form: WhiteoutForm = .overlay, lowers: [String] = []
    ) throws -> UnpackResult {
        try Files.replace(path + "/blob", with: archive, mode: 0o600)
        let blob = try Files.open(path + "/blob", O_RDONLY)
        return try UnpackHelper.unpackHere(
            UnpackRequest(compression, into: target, whiteouts: form, lowers: lowers, manifest: manifest),
            from: blob.rawValue)
    }

    func status(_ name: String) -> stat? {
        var status = stat()
        return lstat(target + "/" + name, &status) == 0 ? status : nil
    }

    func text(_ name: String) -> String? { try? Files.text(target + "/" + name) }
}

/// An archive of members.
func tar(_ members: (TarEntry, String)...) -> [UInt8] {
    var writer = TarWriter()
    for (entry, data) in members { writer.add(entry, Array(data.utf8)) }
    return writer.finished()
}

func code(_ body: () throws -> Void) -> BerthError.Code? {
    do { try body() } catch { return BerthError.wrapping(error).code }
    return nil
}
