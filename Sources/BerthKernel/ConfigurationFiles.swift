internal import BerthBase
internal import BerthTOML
internal import Glibc

/// Reads a configuration file and those it imports, and merges them in the order of reading: an import wins over the
/// file that names it, a later import over an earlier one. Tables merge key by key; anything else is replaced.
struct ConfigurationFiles {
    /// The most files of one configuration.
    static let maxFiles = 256
    /// The largest file, in bytes.
    static let maxBytes = 4 << 20

    /// What was read, merged.
    private(set) var merged = TOMLTable()
    /// The files, in the order they were read.
    private(set) var files: [String] = []
    private var open: [(path: String, identity: String)] = []
    private var problems: [TOMLProblem] = []

    /// - Throws: `TOMLProblems` with what is wrong in every file.
    init(reading file: String) throws {
        read(file, importedAt: SourcePosition(file: file, line: 1, column: 1))
        guard problems.isEmpty else { throw TOMLProblems(problems) }
    }

    private mutating func read(_ file: String, importedAt position: SourcePosition) {
        let identity = resolved(file)
        if let first = open.firstIndex(where: { $0.identity == identity }) {
            let circle = (open[first...].map(\.path) + [file]).joined(separator: " → ")
            problems.append(TOMLProblem(position, "imports go in a circle: \(circle)"))
            return
        }
        guard files.count < Self.maxFiles else {
            problems.append(TOMLProblem(position, "import '\(file)': more than \(Self.maxFiles) files"))
            return
        }
        files.append(file)
        do {
            var own = try TOMLParser.parse(try contents(of: file), file: file)
            let imports = own["imports"]
            own["imports"] = nil
            merged.merge(own)
            open.append((file, identity))
            defer { open.removeLast() }
            for (path, place) in paths(imports, besides: file) { read(path, importedAt: place) }
        } catch {
            problems.append((error as? TOMLProblem) ?? TOMLProblem(position, "\(error)"))
        }
    }

    /// The files that `imports` names, patterns expanded in the order of their names.
    private mutating func paths(_ imports: TOMLNode?, besides file: String) -> [(String, SourcePosition)] {
        guard let imports else { return [] }
        guard let items = imports.array else {
            problems.append(TOMLProblem(imports.position, "'imports' must be an array of paths, not \(imports.kind)"))
            return []
        }
        var found: [(String, SourcePosition)] = []
        for item in items {
            guard let pattern = item.string else {
                problems.append(TOMLProblem(item.position, "'imports' must hold paths, not \(item.kind)"))
                continue
            }
            found += expand(pattern, besides: file).map { ($0, item.position) }
        }
        return found
    }
}

/// A pattern relative to the importing file; one without wildcards must exist, one with them may find nothing.
private func expand(_ pattern: String, besides file: String) -> [String] {
    let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
    let whole = pattern.hasPrefix("/") ? pattern : folder + pattern
    guard whole.contains(where: { "*?[".contains($0) }) else { return [whole] }
    var found = glob_t()
    defer { globfree(&found) }
    guard glob(whole, 0, nil, &found) == 0 else { return [] }
    return (0..<Int(found.gl_pathc)).compactMap { index in
        found.gl_pathv[index].map { String(cString: $0) }
    }
}

/// One name for a file, however it is written.
private func resolved(_ path: String) -> String {
    guard let real = realpath(path, nil) else { return path }
    defer { free(real) }
    return String(cString: real)
}

private func contents(of path: String) throws -> String {
    func reason() -> String { String(cString: strerror(errno)) }
    guard let file = fopen(path, "re") else { throw BerthError(.notFound, "read '\(path)': \(reason())") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 {
            guard ferror(file) == 0 else { throw BerthError(.internal, "read '\(path)': \(reason())") }
            break
        }
        bytes += buffer[0..<count]
        guard bytes.count <= ConfigurationFiles.maxBytes else {
            throw BerthError(.resourceExhausted, "read '\(path)': larger than 4 MiB")
        }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
        throw BerthError(.invalidArgument, "read '\(path)': it is not UTF-8")
    }
    return text
}
