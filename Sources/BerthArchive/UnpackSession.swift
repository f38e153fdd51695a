package import BerthBase
internal import BerthSystem
internal import CBerthSystem
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// The daemon's side of one unpack helper: feeds it the layer's bytes as they arrive and waits for the result.
///
/// Ends its helper in every case: by `finish`, by `cancel`, or when it is let go.
package final class UnpackSession: Sendable {
    /// The threads that wait for helpers or feed them; each unpack takes at most two.
    package static let lane = Blocking.Lane("unpack", width: 64)
    /// The longest line a helper is believed.
    private static let maxLine = 64 * 1024

    /// How the helper is run: a program and the arguments before the request.
    package struct Command: Sendable {
        package var path: String
        package var arguments: [String]
        /// What starts helpers faster, if there is one.
        package var nursery: UnpackNursery?
        package init(_ path: String = "/proc/self/exe", _ arguments: [String] = [UnpackHelper.command]) {
            self.path = path
            self.arguments = arguments
        }
    }

    private let pid: Int32
    private let pidfd: OwnedFD
    /// Our end of the helper's standard input; -1 once it is closed.
    private let input: Mutex<Int32>
    private let told = Progress()
    private let outcome: Task<UnpackResult, any Error>

    /// Starts a helper that waits for bytes.
    package static func start(_ request: UnpackRequest, _ command: Command = Command()) throws -> UnpackSession {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0, &ends) == 0 else {
            throw BerthError(Errno(rawValue: errno), "start the unpack helper: make a socket")
        }
        let ours = OwnedFD(ends[0])
        let theirs = OwnedFD(ends[1])
        return try UnpackSession(request, command, stdin: theirs.rawValue, input: ours.release())
    }

    /// Unpacks a blob that is on disk whole.
    package static func unpack(
        blob path: String, _ request: UnpackRequest, _ command: Command = Command()
    ) async throws -> UnpackResult {
        let session = try begin(blob: path, request, command)
        return try await session.finish()
    }

    /// Starts a helper that unpacks a blob that is on disk whole.
    package static func begin(blob path: String, _ request: UnpackRequest, _ command: Command) throws -> UnpackSession {
        let blob = try attempting("unpack '\(path)'") { () throws(Errno) in try Files.open(path, O_RDONLY) }
        return try UnpackSession(request, command, stdin: blob.rawValue, input: -1)
    }

    private init(_ request: UnpackRequest, _ command: Command, stdin: Int32, input: Int32) throws {
        self.input = Mutex(input)
        var ends: [Int32] = [-1, -1]
        guard berth_pipe(&ends) == 0 else {
            throw BerthError(.resourceExhausted, "start the unpack helper: make a pipe")
        }
        let output = OwnedFD(ends[0])
        let theirs = OwnedFD(ends[1])
        let text = request.json.encoded()
        let isOurs = command.nursery == nil
        if let nursery = command.nursery {
            let started = try nursery.start(text, input: stdin, output: theirs.rawValue)
            pid = started.pid
            pidfd = started.pidfd
        } else {
            let words = command.arguments + [String(decoding: text, as: UTF8.self)]
            pid = try Self.spawn(command.path, words, stdio: [stdin, theirs.rawValue, STDERR_FILENO])
            pidfd = try attempting("watch the unpack helper") { [pid] () throws(Errno) in try PidFD.open(pid) }
        }
        let (raw, child, told) = (output.release(), isOurs ? pid : nil, told)
        outcome = Task {
            try await Blocking.run(on: Self.lane) { try Self.awaitResult(of: child, OwnedFD(raw), told) }
        }
    }

    deinit {
        // Nobody waits for the result any more; the task that does reaps the process.
        try? PidFD.signal(pidfd.rawValue, SIGKILL)
        closeInput()
    }

    private func closeInput() {
        input.withLock { input in
            if input >= 0 { close(input) }
            input = -1
        }
    }

    private func withInput<T>(_ body: (Int32) throws -> T) throws -> T { try input.withLock { try body($0) } }

    /// The helper's process ID, for logs.
    package var processID: Int32 { pid }

    /// The uncompressed bytes so far, as the helper told.
    package var progress: Int64 { told.tarBytes.load(ordering: .relaxed) }

    /// Feeds bytes; blocks while the helper is behind. Not for the cooperative pool.
    ///
    /// - Throws: `aborted` once the helper has ended: `finish` then says why.
    package func writeBlocking(_ bytes: UnsafeRawBufferPointer) throws {
        try input.withLock { input in
            var done = 0
            while done < bytes.count {
                let count = send(input, bytes.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL))
                if count < 0 && errno == EINTR { continue }
                guard count >= 0 else { throw BerthError(.aborted, "unpack a layer: the helper ended early") }
                done += count
            }
        }
    }

    /// Feeds bytes; waits while the helper is behind.
    ///
    /// - Throws: why the helper ended, if it has.
    package func write(_ bytes: [UInt8]) async throws {
        do {
            try await Blocking.run(on: Self.lane) { try bytes.withUnsafeBytes { try self.writeBlocking($0) } }
        } catch let error as BerthError where error.code == .aborted {
            _ = try await finish()
            throw error
        }
    }

    /// Says that no more bytes come, and waits for the result. Cancelling the task ends the helper.
    ///
    /// - Throws: `dataLoss` for corrupt bytes or another `diffID`, `invalidArgument` for what no layer may hold,
    ///   `resourceExhausted` beyond a limit or on a full disk, `cancelled`.
    package func finish() async throws -> UnpackResult {
        closeInput()
        return try await withTaskCancellationHandler {
            do {
                return try await outcome.value
            } catch {
                try Task.checkCancellation()
                throw error
            }
        } onCancel: {
            cancel()
        }
    }

    /// Ends the helper at once. What it wrote stays: the caller removes the snapshot.
    package func cancel() {
        told.isCancelled.store(true, ordering: .relaxed)
        try? PidFD.signal(pidfd.rawValue, SIGKILL)
    }
}

// MARK: - The process

extension UnpackSession {
    /// How far the helper is, as it told.
    private final class Progress: Sendable {
        let tarBytes = Atomic<Int64>(0)
        let isCancelled = Atomic<Bool>(false)
    }

    static func spawn(_ path: String, _ words: [String], stdio: [Int32]) throws -> Int32 {
        var environment: [String] = []
        if let fault = getenv("BERTH_FAULT") { environment.append("BERTH_FAULT=" + String(cString: fault)) }
        func pointers(_ strings: [String]) -> [UnsafeMutablePointer<CChar>?] { strings.map { strdup($0) } + [nil] }
        let (arguments, variables) = (pointers([path] + words), pointers(environment))
        defer { for pointer in arguments + variables { free(pointer) } }
        let pid = berth_spawn(path, arguments, variables, nil, stdio)
        guard pid > 0 else { throw BerthError(Errno(rawValue: -pid), "start the unpack helper '\(path)'") }
        return pid
    }

    /// Reads what the helper tells until it ends, and reaps it if it is a child of this process. Blocks.
    private static func awaitResult(
        of pid: Int32?, _ output: consuming OwnedFD, _ told: Progress
    ) throws -> UnpackResult {
        var line: [UInt8] = []
        var answer: JSONValue?
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = Glibc.read(output.rawValue, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            for byte in buffer[..<count] {
                guard byte == 0x0a else {
                    if line.count < maxLine { line.append(byte) }
                    continue
                }
                let value = try? JSONValue(parsing: line)
                line.removeAll(keepingCapacity: true)
                if let done = value?["progress"]?.integer {
                    told.tarBytes.store(done, ordering: .relaxed)
                } else {
                    answer = value
                }
            }
        }
        guard let pid else {
            guard answer == nil else { return try result(answer, nil) }
            guard !told.isCancelled.load(ordering: .relaxed) else {
                throw BerthError(.cancelled, "unpack a layer: the helper was killed")
            }
            throw BerthError(.internal, "unpack a layer: the helper ended without a result")
        }
        let end = try attempting("wait for the unpack helper") { () throws(Errno) in try PidFD.reap(pid: pid) }
        return try result(answer, end)
    }

    private static func result(_ answer: JSONValue?, _ end: ExitOutcome?) throws -> UnpackResult {
        if let result = answer?["result"] { return try UnpackResult(result) }
        if let code = answer?["code"]?.integer, let message = answer?["message"]?.string {
            throw BerthError(BerthError.Code(rawValue: Int32(clamping: code)) ?? .unknown, message)
        }
        switch end {
        case .signaled(SIGKILL, _): throw BerthError(.cancelled, "unpack a layer: the helper was killed")
        case .signaled(let signal, _):
            throw BerthError(.internal, "unpack a layer: the helper died of signal \(signal)")
        default:
            throw BerthError(
                .internal, "unpack a layer: the helper ended with status \(end?.status ?? -1) and no result")
        }
    }
}

// MARK: Following a file

extension UnpackSession {
    /// A peer that has gone must be an error of the call, not a signal: sendfile has no flag for that.
    private static let ignoresPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

    /// Feeds the bytes of a file from `offset` up to `end`, or up to its own end, without copying them through here.
    /// Blocks while the helper is behind.
    ///
    /// - Returns: the offset of what was not fed.
    /// - Throws: `aborted` once the helper has ended: `finish` then says why.
    package func sendBlocking(file: Int32, from offset: Int64, to end: Int64) throws -> Int64 {
        Self.ignoresPipes
        return try withInput { input in
            var position = off_t(offset)
            while position < off_t(end) {
                let count = sendfile(input, file, &position, min(Int(end) - position, 1 << 20))
                if count < 0 && errno == EINTR { continue }
                guard count >= 0 else { throw BerthError(.aborted, "unpack a layer: the helper ended early") }
                if count == 0 { break }
            }
            return Int64(position)
        }
    }
}
