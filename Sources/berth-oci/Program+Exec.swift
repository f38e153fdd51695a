internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthSystem
internal import SystemPackage

extension Program {
    private static let execOptions: [Arguments.Option] = [
        .init("console-socket"), .init("cwd"), .init("env", "e"), .flag("tty", "t"), .init("user", "u"),
        .init("additional-gids", "g"), .init("process", "p"), .flag("detach", "d"), .init("pid-file"),
        .init("process-label"), .init("apparmor"), .flag("no-new-privs"), .init("cap", "c"), .init("preserve-fds"),
    ]

    func exec(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let arguments = try Arguments(words, Program.execOptions, command: "exec", operandLimit: 1)
        let container = try Container.load(try arguments.id(), in: environment)
        let process = try Program.process(arguments, container.spec)
        let terminal = process.terminal == true, detached = arguments.has("detach")
        try Program.check(terminal: terminal, socket: arguments.value("console-socket"), detached: detached)
        var request = ExecRequest(
            process: process, stdio: terminal ? .terminal(process.consoleSize ?? Foreground.size()) : .inherit)
        request.preserveFDs = try arguments.number("preserve-fds") ?? 0
        let foreground = detached ? nil : try Foreground()
        var launched = try container.exec(request)
        warn(launched.warnings)
        try hand(&launched.console, to: arguments.value("console-socket"))
        try writePidFile(arguments.value("pid-file"), launched.pid)
        guard let foreground else { return 0 }
        return try foreground.wait(for: launched)
    }

    /// The process from a file, or the container's own with what the options change.
    static func process(_ arguments: Arguments, _ spec: OCISpec) throws(BerthError) -> OCIProcess {
        if let path = arguments.value("process") {
            let bytes = try attempting("read '\(path)'") { () throws(Errno) in try Files.read(path) }
            return try OCIJSON.decode(OCIProcess.self, bytes, as: "'\(path)'")
        }
        let command = Array(arguments.operands.dropFirst())
        guard !command.isEmpty else { throw BerthError(.invalidArgument, "exec: the command is missing") }
        var process = spec.process ?? OCIProcess(args: command)
        process.args = command
        process.terminal = arguments.has("tty")
        process.consoleSize = nil
        if let cwd = arguments.value("cwd") { process.cwd = cwd }
        process.env = (process.env ?? []) + arguments.all("env")
        if arguments.has("no-new-privs") { process.noNewPrivileges = true }
        if let profile = arguments.value("apparmor") { process.apparmorProfile = profile }
        if let label = arguments.value("process-label") { process.selinuxLabel = label }
        if let text = arguments.value("user") { try setUser(text, of: &process) }
        let groups = try arguments.all("additional-gids").map { text throws(BerthError) in
            try id(text, "additional-gids")
        }
        if !groups.isEmpty {
            var user = process.user ?? OCIUser()
            user.additionalGids = (user.additionalGids ?? []) + groups
            process.user = user
        }
        addCapabilities(arguments.all("cap"), to: &process)
        return process
    }

    /// More capabilities; the inheritable and ambient sets stay as they are (CVE-2022-29162).
    private static func addCapabilities(_ names: [String], to process: inout OCIProcess) {
        guard !names.isEmpty else { return }
        var sets = process.capabilities ?? OCICapabilities()
        for name in names.map({ $0.uppercased() }).map({ $0.hasPrefix("CAP_") ? $0 : "CAP_" + $0 }) {
            for path in [\OCICapabilities.bounding, \.effective, \.permitted]
            where sets[keyPath: path]?.contains(name) != true {
                sets[keyPath: path] = (sets[keyPath: path] ?? []) + [name]
            }
        }
        process.capabilities = sets
    }

    /// `UID` or `UID:GID`, numbers only and parsed whole (CVE-2026-30892).
    static func setUser(_ text: String, of process: inout OCIProcess) throws(BerthError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        var user = process.user ?? OCIUser()
        user.uid = try id(parts[0], "user")
        user.gid = parts.count == 2 ? try id(parts[1], "user") : 0
        user.additionalGids = nil
        process.user = user
    }

    private static func id(_ text: String, _ option: String) throws(BerthError) -> UInt32 {
        guard let number = UInt32(text), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), number != .max else {
            throw BerthError(.invalidArgument, "exec: --\(option) '\(text)' must be numbers, UID or UID:GID")
        }
        return number
    }
}
