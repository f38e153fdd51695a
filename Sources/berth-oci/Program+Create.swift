internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension Program {
    private static let createOptions: [Arguments.Option] = [
        .init("bundle", "b"), .init("console-socket"), .init("pid-file"), .flag("no-pivot"), .flag("no-new-keyring"),
        .init("preserve-fds"),
    ]

    func create(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let arguments = try Arguments(words, Program.createOptions, command: "create")
        let request = try request(arguments, detached: true)
        var created = try Container.create(request, in: environment)
        warn(created.process.warnings)
        try finish(arguments, &created)
        return 0
    }

    func run(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let arguments = try Arguments(
            words, Program.createOptions + [.flag("detach", "d"), .flag("keep"), .flag("no-subreaper")], command: "run")
        let detached = arguments.has("detach")
        let request = try request(arguments, detached: detached)
        let foreground = detached ? nil : try Foreground()
        var created = try Container.run(request, in: environment)
        warn(created.process.warnings)
        do throws(BerthError) {
            try finish(arguments, &created)
        } catch {
            _ = try? created.container.delete(force: true)
            throw error
        }
        warn(created.container.runPoststartHooks())
        guard let foreground else { return 0 }
        let status = try foreground.wait(for: created.process)
        if !arguments.has("keep") { warn(try created.container.delete(force: true)) }
        return status
    }

    /// Hands the terminal over and writes the pid file.
    private func finish(_ arguments: Arguments, _ created: inout CreatedContainer) throws(BerthError) {
        try hand(&created.process.console, to: arguments.value("console-socket"))
        try writePidFile(arguments.value("pid-file"), created.process.pid)
    }

    func hand(_ console: inout OwnedFD?, to socket: String?) throws(BerthError) {
        guard let socket, let master = console.take() else { return }
        try attempting("send the terminal to '\(socket)'") { () throws(Errno) in
            let peer = try Messages.connectStream(to: socket)
            try Messages.send(Array("/dev/ptmx".utf8), descriptor: master.rawValue, on: peer.rawValue)
        }
    }

    func writePidFile(_ path: String?, _ pid: Int32) throws(BerthError) {
        guard let path else { return }
        try attempting("write the pid file '\(path)'") { () throws(Errno) in
            try Files.replace(path, with: Array(String(pid).utf8), mode: 0o644)
        }
    }

    private func request(_ arguments: Arguments, detached: Bool) throws(BerthError) -> ContainerRequest {
        let id = try arguments.id()
        try arguments.noMore(than: 1)
        let bundle = try Program.absolute(arguments.value("bundle") ?? ".")
        let path = bundle.string + "/config.json"
        let json = try attempting("read '\(path)'") { () throws(Errno) in try Files.read(path) }
        let spec = try OCISpec(json: json)
        guard let root = spec.root else { throw BerthError(.invalidArgument, "config.json has no 'root'") }
        let rootfs = root.path.hasPrefix("/") ? FilePath(root.path) : bundle.appending(root.path)
        let terminal = spec.process?.terminal == true
        try Program.check(terminal: terminal, socket: arguments.value("console-socket"), detached: detached)
        var request = ContainerRequest(
            id: id, bundle: bundle, spec: spec, rootfs: .path(rootfs),
            stdio: terminal ? .terminal(spec.process?.consoleSize ?? Foreground.size()) : .inherit)
        request.specJSON = json
        request.noPivot = arguments.has("no-pivot")
        request.noNewKeyring = arguments.has("no-new-keyring")
        request.preserveFDs = try arguments.number("preserve-fds") ?? 0
        return request
    }

    /// Who is to hold the terminal must be clear before anything is made.
    static func check(terminal: Bool, socket: String?, detached: Bool) throws(BerthError) {
        if terminal, detached, socket == nil {
            throw BerthError(.invalidArgument, "a detached process with a terminal needs --console-socket")
        }
        if !terminal, socket != nil {
            throw BerthError(.invalidArgument, "--console-socket is given, but the process has no terminal")
        }
    }

    static func absolute(_ path: String) throws(BerthError) -> FilePath {
        guard let resolved = realpath(path, nil) else {
            throw BerthError(Errno(rawValue: errno), "find '\(path)'")
        }
        defer { free(resolved) }
        return FilePath(String(cString: resolved))
    }
}
