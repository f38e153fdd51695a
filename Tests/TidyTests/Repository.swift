import Glibc
import SystemPackage

/// The files of the repository, as the house rules see them.
struct Repository {
    /// One file: its path from the top, and its lines.
    struct File {
        let path: String
        let lines: [String]
        var text: String { lines.joined(separator: "\n") }
        var isGenerated: Bool { path.contains("/Generated/") }
    }

    let root: String

    init() {
        // Tests/TidyTests/Repository.swift → the top.
        var path = FilePath(#filePath)
        path.removeLastComponent()
        path.removeLastComponent()
        path.removeLastComponent()
        root = path.string
    }

    /// Files below `folders` whose name ends in one of `suffixes`, generated ones left out.
    func files(in folders: [String], suffixes: [String]) -> [File] {
        var found: [File] = []
        for folder in folders { walk(folder, suffixes, &found) }
        return found.filter { !$0.isGenerated }.sorted { $0.path < $1.path }
    }

    private func walk(_ folder: String, _ suffixes: [String], _ found: inout [File]) {
        guard let stream = opendir("\(root)/\(folder)") else { return }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            let path = "\(folder)/\(name)"
            if entry.pointee.d_type == UInt8(DT_DIR) {
                walk(path, suffixes, &found)
            } else if suffixes.contains(where: name.hasSuffix) {
                found.append(File(path: path, lines: read(path)))
            }
        }
    }

    func read(_ path: String) -> [String] {
        guard let file = fopen("\(root)/\(path)", "r") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { break }
            bytes += buffer[0..<count]
        }
        var lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines.map(String.init)
    }
}
