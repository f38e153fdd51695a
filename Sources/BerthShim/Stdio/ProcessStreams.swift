internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// The standard streams of one process, from their opening until the process is deleted.
///
/// Output FIFOs go to the process as they are. The shim keeps a reading end of each, so that a process whose client
/// died is not killed by SIGPIPE. Input comes through the relay: it ends when the last client closes the FIFO, but not
/// before the first has come, and a FIFO by itself cannot tell the two.
final class ProcessStreams {
    let request: StdioRequest
    /// How the runtime is to set the process up.
    private(set) var stdio: ProcessStdio
    /// The terminal's master, for its size.
    private(set) var console: Int32?
    private(set) var relayID: RelayID?
    /// The logger that a `binary://` stream started, until it has said that it is ready.
    private(set) var logger: LoggerProcess?
    /// The process's ends; ours only until it has them.
    private var given: [OwnedBox] = []
    private var holds: [OwnedBox] = []
    private var inputHold: OwnedBox?
    private var job = RelayJob(streams: [])
    private let relay: LogRelay

    /// Opens everything but the terminal, which the process itself opens.
    ///
    /// - Throws: what could not be opened; nothing stays open then.
    init(_ request: StdioRequest, owner: StreamOwner, size: OCIConsoleSize?, logger: LoggerContext, relay: LogRelay)
        throws(BerthError)
    {
        self.request = request
        self.relay = relay
        stdio = .terminal(size)
        let stdin = try StreamTarget(request.stdin), stdout = try StreamTarget(request.stdout)
        let stderr = try StreamTarget(request.stderr)
        if request.terminal {
            try openTerminal(stdin, stdout, logger)
        } else {
            let input = try openInput(stdin)
            let outputs = try openOutputs(stdout, stderr, logger)
            stdio = .descriptors(stdin: input, stdout: outputs.0, stderr: outputs.1)
            for box in given { _ = fchown(box.number, owner.uid, owner.gid) }
        }
    }

    // MARK: Opening

    private func open(_ path: String, _ flags: Int32) throws(BerthError) -> OwnedBox {
        do { return OwnedBox(try Files.open(path, flags)) } catch { throw BerthError(error, "open stream '\(path)'") }
    }

    private func openInput(_ target: StreamTarget) throws(BerthError) -> Int32 {
        switch target {
        case .null: return try give(try open("/dev/null", O_RDONLY))
        case .fifo(let path):
            let source = try open(path, O_RDONLY | O_NONBLOCK)
            let pipe = BoxedPipe(try attempting("make a pipe") { () throws(Errno) in try PipeEnds() })
            try attempting("make a pipe") { () throws(Errno) in try LocalSocket.setNonblocking(pipe.writer.number) }
            job.input = job.streams.count
            job.streams.append(.init(source: source.release(), sink: .pipe(pipe.writer.release())))
            return try give(pipe.reader)
        case .file, .logger, .criLog:
            throw BerthError(.invalidArgument, "stream '\(request.stdin)': standard input is a FIFO or empty")
        }
    }

    private func openOutputs(
        _ stdout: StreamTarget, _ stderr: StreamTarget, _ context: LoggerContext
    ) throws(BerthError) -> (Int32, Int32) {
        if case .logger(let path, let arguments) = stdout { return try startLogger(path, arguments, context) }
        let first = try openOutput(stdout, .stdout, request.stdout)
        return (first, try openOutput(stderr, .stderr, request.stderr))
    }

    private func openOutput(_ target: StreamTarget, _ stream: LogStream, _ text: String) throws(BerthError) -> Int32 {
        switch target {
        case .null: return try give(try open("/dev/null", O_WRONLY))
        case .fifo(let path):
            holds.append(try open(path, O_RDONLY | O_NONBLOCK))
            return try give(try open(path, O_WRONLY))
        case .file(let path): return try relayed(.file(try appending(path)))
        case .criLog(let path):
            try useLog(path)
            return try relayed(.log(stream))
        case .logger: throw BerthError(.invalidArgument, "stream '\(text)': a logger takes both outputs")
        }
    }

    /// A job has one log, which both outputs share.
    private func useLog(_ path: String) throws(BerthError) {
        guard job.logPath == nil || job.logPath == path else {
            throw BerthError(.invalidArgument, "streams '\(request.stdout)' and '\(request.stderr)': one log for both")
        }
        // A log that cannot be made is told now, not when it is too late.
        do { _ = try LogFile(path, marks: true) } catch { throw BerthError(error, "open the log '\(path)'") }
        job.logPath = path
    }

    private func appending(_ path: String) throws(BerthError) -> Int32 {
        do { return try Files.open(path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o640).release() } catch {
            throw BerthError(error, "open stream '\(path)'")
        }
    }

    /// A pipe whose other end the relay reads.
    private func relayed(_ sink: RelayJob.Sink) throws(BerthError) -> Int32 {
        let pipe = try attempting("make a pipe") { () throws(Errno) in try PipeEnds() }
        let ends = pipe.release()
        job.streams.append(.init(source: ends.reader, sink: sink))
        return try give(OwnedBox(ends.writer))
    }

    private func give(_ box: OwnedBox) throws(BerthError) -> Int32 {
        given.append(box)
        return box.number
    }

    private func startLogger(
        _ path: String, _ arguments: [String], _ context: LoggerContext
    ) throws(BerthError) -> (Int32, Int32) {
        let started = try LoggerProcess.start(path, arguments, context)
        logger = started.process
        return (try give(started.stdout), try give(started.stderr))
    }

    private func openTerminal(_ stdin: StreamTarget, _ stdout: StreamTarget, _ context: LoggerContext)
        throws(BerthError)
    {
        if case .fifo(let path) = stdin {
            // For both, so that the end of one client is not the end of the input.
            inputHold = try open(path, O_RDWR | O_NONBLOCK)
        } else if stdin != .null {
            throw BerthError(.invalidArgument, "stream '\(request.stdin)': standard input is a FIFO or empty")
        }
        switch stdout {
        case .null: job.streams.append(.init(source: -1, sink: .file(try appending("/dev/null"))))
        case .file(let path): job.streams.append(.init(source: -1, sink: .file(try appending(path))))
        case .criLog(let path):
            try useLog(path)
            job.streams.append(.init(source: -1, sink: .log(.stdout)))
        case .fifo(let path):
            holds.append(try open(path, O_RDONLY | O_NONBLOCK))
            job.streams.append(.init(source: -1, sink: .pipe(try open(path, O_WRONLY | O_NONBLOCK).release())))
        case .logger(let path, let arguments):
            let started = try LoggerProcess.start(path, arguments, context)
            logger = started.process
            job.streams.append(.init(source: -1, sink: .pipe(started.stdout.release())))
        }
    }

    // MARK: While the process runs

    /// The process has its ends: ours are closed, and what is relayed begins.
    func attach(console master: consuming OwnedFD?) throws(BerthError) {
        given = []
        if let master = master.take() { try attachTerminal(master) }
        guard !job.streams.isEmpty else { return }
        let started = job
        job = RelayJob(streams: [])
        relayID = try relay.add(started)
    }

    private func attachTerminal(_ master: consuming OwnedFD) throws(BerthError) {
        let forRelay = try attempting("duplicate the console") { () throws(Errno) in try master.duplicate().release() }
        job.streams[0].source = forRelay
        if let input = inputHold {
            inputHold = nil
            let sink = try attempting("duplicate the console") { () throws(Errno) in try master.duplicate().release() }
            job.input = job.streams.count
            job.streams.append(.init(source: input.release(), sink: .pipe(sink)))
        }
        let box = OwnedBox(master)
        console = box.number
        holds.append(box)
    }

    /// Nobody writes to the standard input any more.
    func closeInput() {
        inputHold = nil
        if let relayID { relay.send(.closeInput(relayID)) }
    }

    /// Changes the terminal's size.
    func resize(width: UInt32, height: UInt32) throws(BerthError) {
        guard let console else { throw BerthError(.failedPrecondition, "resize the terminal: the process has none") }
        try attempting("resize the terminal") { () throws(Errno) in
            try Terminal.resize(console, rows: UInt16(clamping: height), columns: UInt16(clamping: width))
        }
    }

    /// The logger is ready, or was given up.
    func forgetLogger() { logger = nil }

    /// Ends what is relayed and lets go of everything.
    func close() {
        if let relayID { relay.send(.end(relayID)) }
        for stream in job.streams { closeUnused(stream) }
        (given, holds, inputHold, job) = ([], [], nil, RelayJob(streams: []))
    }

    private func closeUnused(_ stream: RelayJob.Stream) {
        if stream.source >= 0 { Glibc.close(stream.source) }
        switch stream.sink {
        case .log: break
        case .file(let file), .pipe(let file): Glibc.close(file)
        }
    }

    deinit { for stream in job.streams { closeUnused(stream) } }
}

/// Owns one descriptor where a value that is not copied has no place.
final class OwnedBox {
    private(set) var number: Int32

    init(_ number: Int32) { self.number = number }
    convenience init(_ fd: consuming OwnedFD) { self.init(fd.release()) }
    deinit { close() }

    /// Closes it before its time.
    func close() {
        if number >= 0 { Glibc.close(number) }
        number = -1
    }

    /// Gives the descriptor away.
    func release() -> Int32 {
        defer { number = -1 }
        return number
    }
}
