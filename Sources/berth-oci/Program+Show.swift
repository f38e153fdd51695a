internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthSystem
internal import SystemPackage

/// A container as `state` and `list` show it, with runc's keys.
private struct Shown: Codable {
    var ociVersion = OCISpec.version
    var id: String
    var pid: Int32
    var status: OCIState.Status
    var bundle: String
    var rootfs: String
    var created: String
    var annotations: [String: String]?
    var owner = ""

    init(_ container: Container) {
        let status = container.status
        id = container.id
        pid = status == .stopped ? 0 : container.pid
        self.status = status
        bundle = container.bundle
        rootfs = container.rootfs
        created = Clock.text(container.created)
        annotations = container.spec.annotations
    }
}

extension Program {
    func state(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let arguments = try Arguments(words, [], command: "state")
        let container = try Container.load(try arguments.id(), in: environment)
        return Program.say(String(decoding: try OCIJSON.encode(Shown(container), pretty: true), as: UTF8.self) + "\n")
    }

    func list(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let arguments = try Arguments(words, [.init("format", "f"), .flag("quiet", "q")], command: "list")
        let names = ((try? Files.names(in: environment.stateRoot.string)) ?? []).filter { !$0.hasPrefix(".") }.sorted()
        // A directory that holds no container yet, or none any more, is no reason to show nothing.
        let all = names.compactMap { name in (try? Container.load(name, in: environment)).map(Shown.init) }
        if arguments.has("quiet") { return Program.say(all.map { $0.id + "\n" }.joined()) }
        switch arguments.value("format") ?? "table" {
        case "json":
            return Program.say(String(decoding: try OCIJSON.encode(all), as: UTF8.self) + "\n")
        case "table": return Program.say(Program.table(all))
        case let other: throw BerthError(.invalidArgument, "list: format '\(other)' is neither table nor json")
        }
    }

    private static func table(_ all: [Shown]) -> String {
        let rows =
            [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
            + all.map { [$0.id, String($0.pid), $0.status.rawValue, $0.bundle, $0.created, "root"] }
        let widths = (0..<6).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 3)
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    func spec(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let arguments = try Arguments(words, [.init("bundle", "b"), .flag("rootless")], command: "spec")
        if arguments.has("rootless") { throw BerthError(.unimplemented, "spec --rootless is not supported") }
        let path = (arguments.value("bundle") ?? ".") + "/config.json"
        if (try? Files.status(path)) != nil { throw BerthError(.alreadyExists, "'\(path)' exists already") }
        let bytes = try OCIJSON.encode(OCISpec.example(), pretty: true)
        try attempting("write '\(path)'") { () throws(Errno) in try Files.replace(path, with: bytes, mode: 0o644) }
        return 0
    }

    func features(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let bytes = try OCIJSON.encode(RuntimeFeatures.current(), pretty: true)
        return Program.say(String(decoding: bytes, as: UTF8.self) + "\n")
    }
}
