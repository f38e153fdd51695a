internal import BerthBase
internal import CBerthSystem
internal import Glibc

/// Runs a program of others to its end: bounded input and output, a deadline, and its whole process group killed
/// when that passes. Blocks; call it on a lane of `Blocking`.
package struct ChildProcess {
    /// What to run.
    package struct Command: Sendable {
        /// The program's path; `PATH` is not searched.
        package var path: String
        /// The arguments after the program's name.
        package var arguments: [String]
        /// `NAME=value`, the whole environment.
        package var environment: [String]
        /// What the program reads on its standard input.
        package var input: [UInt8]
        /// How long it may take.
        package var deadline: Duration
        /// The most bytes kept of each output; more is an error.
        package var outputLimit = 4 << 20
        /// The folder it runs in; nil: the caller's.
        package var folder: String?

        /// Makes a command.
        package init(
            _ path: String, _ arguments: [String] = [], environment: [String] = [], input: [UInt8] = [],
            deadline: Duration
        ) {
            self.path = path
            self.arguments = arguments
            self.environment = environment
            self.input = input
            self.deadline = deadline
        }
    }

    /// How it ended and what it wrote.
    package struct Outcome: Sendable {
        /// The exit code; 128 + N after signal N.
        package var status: Int32
        /// Standard output.
        package var output: [UInt8]
        /// Standard error.
        package var errors: [UInt8]
    }

    /// Runs the command.
    ///
    /// - Throws: `notFound` or `permissionDenied` when it cannot be executed; `deadlineExceeded`;
    ///   `resourceExhausted` when it writes more than the limit.
    package static func run(_ command: Command) throws -> Outcome {
        var input = Pipe(), output = Pipe(), errors = Pipe()
        defer {
            input.close()
            output.close()
            errors.close()
        }
        try input.open()
        try output.open()
        try errors.open()
        let pid = try spawn(command, input.read, output.write, errors.write)
        input.closeRead()
        output.closeWrite()
        errors.closeWrite()
        var relay = Relay(command, input: input, output: output, errors: errors, pid: pid)
        defer { relay.close() }
        do {
            try relay.pump()
        } catch {
            kill(-pid, SIGKILL)
            _ = reap(pid)
            // The relay may have closed it: a second close would hit whoever got the number meanwhile.
            input.write = relay.input
            input.closeWrite()
            throw error
        }
        input.write = relay.input
        return Outcome(status: reap(pid), output: relay.stdout, errors: relay.stderr)
    }

    private static func spawn(_ command: Command, _ stdin: Int32, _ stdout: Int32, _ stderr: Int32) throws -> pid_t {
        // SAFETY: both lists end with nil and live until after the call; the child has its own copy by then.
        let words = unsafe CStrings([command.path] + command.arguments)
        let environment = unsafe CStrings(command.environment)
        defer {
            unsafe words.free()
            unsafe environment.free()
        }
        let pid = unsafe berth_spawn(
            command.path, words.pointer, environment.pointer, command.folder, [stdin, stdout, stderr])
        guard pid > 0 else {
            let code: BerthError.Code = pid == -ENOENT ? .notFound : pid == -EACCES ? .permissionDenied : .internal
            throw BerthError(code, "execute '\(command.path)': \(errorName(-pid))")
        }
        OpenFilesLimit.restore(for: pid)
        return pid
    }

    private static func reap(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        // SAFETY: the number lives through the call.
        while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }
}

/// The words of a C argument or environment list.
///
/// SAFETY: the pointers are made in init and freed once by the owner, after the call that reads them.
@unsafe private struct CStrings {
    let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        unsafe count = strings.count
        unsafe pointer = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() { unsafe pointer[index] = unsafe strdup(string) }
        unsafe pointer[count] = nil
    }

    // SAFETY: called once, by the owner.
    func free() {
        for index in unsafe 0..<count { unsafe Glibc.free(pointer[index]) }
        unsafe pointer.deallocate()
    }
}

// SAFETY: strerror's text is copied at once.
private func errorName(_ number: Int32) -> String { unsafe String(cString: strerror(number)) }

/// Both ends of a pipe, close-on-exec.
private struct Pipe {
    var read: Int32 = -1
    var write: Int32 = -1

    mutating func open() throws {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the array has the two places that the call fills.
        let result = unsafe berth_pipe(&ends)
        guard result == 0 else {
            throw BerthError(.resourceExhausted, "make a pipe: \(errorName(-result))")
        }
        (read, write) = (ends[0], ends[1])
    }
    mutating func closeRead() {
        if read >= 0 { Glibc.close(read) }
        read = -1
    }
    mutating func closeWrite() {
        if write >= 0 { Glibc.close(write) }
        write = -1
    }
    mutating func close() {
        closeRead()
        closeWrite()
    }
}

/// Feeds the child and collects what it writes until it has exited.
private struct Relay {
    let command: ChildProcess.Command
    var input: Int32
    /// -1 once the child has closed its end: poll would report that again and again.
    var output: Int32
    var errors: Int32
    let exit: Int32
    var sent = 0
    var stdout: [UInt8] = []
    var stderr: [UInt8] = []
    let end: ContinuousClock.Instant

    init(_ command: ChildProcess.Command, input: Pipe, output: Pipe, errors: Pipe, pid: pid_t) {
        self.command = command
        self.input = input.write
        self.output = output.read
        self.errors = errors.read
        exit = berth_pidfd_open(pid)
        end = .now + command.deadline
        for descriptor in [self.input, self.output, self.errors] {
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        }
    }

    mutating func close() {
        if exit >= 0 { Glibc.close(exit) }
    }

    mutating func closeInput() {
        if input >= 0 { Glibc.close(input) }
        input = -1
    }

    mutating func pump() throws {
        if command.input.isEmpty { closeInput() }
        var exited = false
        while !exited {
            let left = ContinuousClock.now.duration(to: end)
            let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
            guard milliseconds > 0 else {
                throw BerthError(
                    .deadlineExceeded, "run '\(command.path)': no end within \(command.deadline), killed")
            }
            var watched = [
                pollfd(fd: exit, events: Int16(POLLIN), revents: 0),
                pollfd(fd: output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
                pollfd(fd: input, events: Int16(POLLOUT), revents: 0),
            ]
            // SAFETY: the array is as long as the count says.
            let ready = unsafe poll(&watched, nfds_t(watched.count), Int32(clamping: milliseconds))
            if ready < 0 && errno != EINTR { throw BerthError(.internal, "poll: \(errorName(errno))") }
            if watched[3].revents != 0 { feed() }
            try drain(\.output, into: \.stdout)
            try drain(\.errors, into: \.stderr)
            exited = watched[0].revents != 0
        }
        // A grandchild may hold the pipes open: what is in them now is all that counts.
        try drain(\.output, into: \.stdout)
        try drain(\.errors, into: \.stderr)
    }

    private mutating func feed() {
        // SAFETY: what is sent begins within the input and ends with it.
        let count = unsafe command.input.withUnsafeBytes { bytes in
            unsafe Glibc.write(input, bytes.baseAddress?.advanced(by: sent), bytes.count - sent)
        }
        if count > 0 { sent += count }
        // A child that closed its input (EPIPE) simply does not want it.
        if sent == command.input.count || (count < 0 && errno != EAGAIN) { closeInput() }
    }

    private mutating func drain(
        _ descriptor: WritableKeyPath<Relay, Int32>, into path: WritableKeyPath<Relay, [UInt8]>
    ) throws {
        while self[keyPath: descriptor] >= 0 {
            var result = 0
            // SAFETY: the buffer is as long as its count says, and only what was read counts.
            let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 16384) { buffer, count in
                result = unsafe Glibc.read(self[keyPath: descriptor], buffer.baseAddress, buffer.count)
                count = max(0, result)
            }
            if result == 0 { self[keyPath: descriptor] = -1 }
            if chunk.isEmpty { return }
            self[keyPath: path].append(contentsOf: chunk)
            guard self[keyPath: path].count <= command.outputLimit else {
                throw BerthError(
                    .resourceExhausted, "run '\(command.path)': it wrote more than \(command.outputLimit) bytes")
            }
        }
    }
}
