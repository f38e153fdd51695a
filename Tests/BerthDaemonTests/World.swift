import BerthBase
import Glibc

/// Where the programs of this build lie, and the repository.
enum Build {
    /// A program that was built beside the tests.
    static func program(_ name: String) throws -> String {
        var path = [UInt8](repeating: 0, count: 4096)
        let count = max(0, readlink("/proc/self/exe", &path, path.count))
        let own =
            CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? String(decoding: path[..<count], as: UTF8.self)
        var folder = own.split(separator: "/", omittingEmptySubsequences: false)
        while !folder.isEmpty {
            folder.removeLast()
            let program = folder.joined(separator: "/") + "/" + name
            if access(program, X_OK) == 0 { return program }
        }
        throw BerthError(.notFound, "no '\(name)' beside \(own)")
    }

    /// A file of the repository.
    static func text(_ path: String) -> String { readText("\(repository)/\(path)") }

    /// The repository's top.
    static let repository = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
}

func readText(_ path: String) -> String {
    guard let file = fopen(path, "re") else { return "" }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[0..<count]
    }
}

/// A folder of the test's own, removed with it.
final class Folder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/berth-daemon-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BerthError(.internal, "make a temporary folder") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { remove(path) }

    private func remove(_ path: String) {
        for name in Folder.names(path) { remove("\(path)/\(name)") }
        if rmdir(path) != 0 { unlink(path) }
    }

    static func names(_ path: String) -> [String] {
        guard let stream = opendir(path) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        guard let stream = fopen(file, "we") else { throw BerthError(.internal, "write '\(file)'") }
        fwrite(text, 1, text.utf8.count, stream)
        fclose(stream)
        return file
    }

    func mode(_ name: String) -> String {
        var info = stat()
        return lstat("\(path)/\(name)", &info) == 0 ? String(info.st_mode & 0o7777, radix: 8) : "none"
    }
}

/// A program that runs beside the test: its output is kept in files, and it is killed with the test.
final class Program: Sendable {
    let pid: pid_t
    private let folder: Folder
    private let number: Int
    private let status = Shared<Int32?>(nil)
    private static let count = Shared(0)

    init(
        _ path: String, _ arguments: [String], in folder: Folder, environment: [String] = [],
        standardError: Int32? = nil
    ) throws {
        number = Program.count.withLock {
            $0 += 1
            return $0
        }
        self.folder = folder
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "\(folder.path)/out-\(number)", flags, 0o600)
        if let standardError {
            posix_spawn_file_actions_adddup2(&actions, standardError, 2)
        } else {
            posix_spawn_file_actions_addopen(&actions, 2, "\(folder.path)/err-\(number)", flags, 0o600)
        }
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] =
            (["PATH=/usr/bin:/bin"] + environment).map { strdup($0) } + [nil]
        defer { for word in words + variables { free(word) } }
        var child: pid_t = 0
        let result = posix_spawn(&child, path, &actions, nil, &words, &variables)
        guard result == 0 else { throw BerthError(.internal, "start '\(path)': \(String(cString: strerror(result)))") }
        pid = child
    }

    deinit {
        if status.withLock({ $0 }) == nil {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
    }

    var output: String { readText("\(folder.path)/out-\(number)") }
    var errors: String { readText("\(folder.path)/err-\(number)") }
    var lines: [String] { errors.split(separator: "\n").map(String.init) }

    func signal(_ number: Int32) { kill(pid, number) }

    /// Waits for a line with this text on standard error, at most ten seconds.
    func line(with text: String, count: Int = 1) async throws -> String {
        for _ in 0..<1000 {
            let found = lines.filter { $0.contains(text) }
            if found.count >= count, let last = found.last { return last }
            if ended(block: false) != nil { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw BerthError(.notFound, "no line '\(text)' in:\n\(errors)")
    }

    /// Waits for the end: the exit status, or 128 and the signal.
    func end(within patience: Duration = .seconds(15)) async throws -> Int32 {
        let last = ContinuousClock.now + patience
        while ContinuousClock.now < last {
            if let status = ended(block: false) { return status }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw BerthError(.deadlineExceeded, "process \(pid) does not end; its errors:\n\(errors)")
    }

    private func ended(block: Bool) -> Int32? {
        status.withLock { known in
            if let known { return known }
            var raw: Int32 = 0
            guard waitpid(pid, &raw, block ? 0 : WNOHANG) == pid else { return nil }
            let signal = raw & 0x7f
            known = signal == 0 ? (raw >> 8) & 0xff : 128 + signal
            return known
        }
    }
}

/// A daemon's folders and configuration.
struct World {
    let folder: Folder
    static let plugins = ["content.local", "database.sqlite", "events.bus", "metadata.sqlite", "operations.table"]

    init() throws { folder = try Folder() }

    var config: String { "\(folder.path)/config.toml" }

    func configure(_ plugins: [String] = World.plugins, required: [String] = [], more: String = "") throws {
        func list(_ items: [String]) -> String { "[" + items.map { "\"\($0)\"" }.joined(separator: ", ") + "]" }
        try folder.write(
            "config.toml",
            """
            version = 1
            root = "\(folder.path)/root"
            state = "\(folder.path)/state"
            enable = \(list(plugins))
            required = \(list(required))
            \(more)
            """)
    }

    /// Starts a daemon on the configuration.
    func start(_ name: String = "berthd", environment: [String] = [], standardError: Int32? = nil) throws -> Program {
        try Program(
            Build.program(name), ["--config", config], in: folder, environment: environment,
            standardError: standardError)
    }

    /// Runs a command to its end.
    func run(_ arguments: String...) async throws -> (status: Int32, output: String, errors: String) {
        let program = try Program(Build.program("berthd"), arguments, in: folder)
        let status = try await program.end()
        func plain(_ text: String) -> String { text.replacing(folder.path + "/", with: "") }
        return (status, plain(program.output), plain(program.errors))
    }
}
