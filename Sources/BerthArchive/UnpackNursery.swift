internal import BerthBase
internal import BerthSystem
internal import CBerthSystem
internal import CBerthUnpack
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Starts unpack helpers by forking one process that is loaded already: loading the daemon's file with its libraries
/// costs 15 to 20 ms of CPU, which an image of twenty layers would pay twenty times; a fork costs one.
///
/// The process has one thread, sees nothing but requests of the daemon, and ends when it has been idle for a while or
/// the daemon is gone. Its children confine themselves before they see a byte of a layer.
package final class UnpackNursery: Sendable {
    /// The argument that makes a helper a nursery.
    static let argument = "--nursery"
    /// How long the process waits for the next request before it ends, in seconds.
    static let idleLimit = 20
    /// The longest request.
    static let maxRequest = 128 * 1024

    /// A helper that was forked.
    struct Child: ~Copyable {
        let pid: Int32
        let pidfd: OwnedFD
    }

    private struct State {
        /// Our end of the conversation; -1: there is no process.
        var socket: Int32 = -1
        /// Waits for the process's end.
        var end: Task<Void, Never>?
    }

    private let command: UnpackSession.Command
    private let state = Mutex(State())

    package init(_ command: UnpackSession.Command) { self.command = command }

    deinit { state.withLock { if $0.socket >= 0 { Glibc.close($0.socket) } } }

    /// Starts the process if it does not run, so that the first helper need not wait for it. Blocks briefly.
    package func warmUp() throws { try state.withLock { try ready(&$0) } }

    /// Ends the process and waits for it; helpers that run go on.
    package func close() async {
        let end = state.withLock { state -> Task<Void, Never>? in
            if state.socket >= 0 { Glibc.close(state.socket) }
            state.socket = -1
            return state.end
        }
        await end?.value
    }

    /// Starts a helper that reads and writes these descriptors. Blocks briefly; not for the cooperative pool.
    func start(_ request: [UInt8], input: Int32, output: Int32) throws -> Child {
        try state.withLock { state in
            for attempt in 0..<2 {
                try ready(&state)
                do { return try ask(request, [input, output], state.socket) } catch {
                    // It ended because it was idle: once more with a new one.
                    Glibc.close(state.socket)
                    state.socket = -1
                    guard attempt == 0 else {
                        throw BerthError(error as? Errno ?? .brokenPipe, "start an unpack helper")
                    }
                }
            }
            throw BerthError(.internal, "start an unpack helper")
        }
    }

    private func ready(_ state: inout State) throws {
        if state.socket >= 0 {
            // Readable without a question means that the process has ended.
            var poller = pollfd(fd: state.socket, events: Int16(POLLIN), revents: 0)
            if poll(&poller, 1, 0) == 0 { return }
            Glibc.close(state.socket)
            state.socket = -1
        }
        var pair = try attempting("start the unpack nursery: make a socket") { () throws(Errno) in try SocketPair() }
        guard let theirs = pair.second.take() else { return }
        let ours = try attempting("start the unpack nursery: keep a socket") { () throws(Errno) in
            try pair.first.duplicate()
        }
        let stdio = [theirs.rawValue, theirs.rawValue, STDERR_FILENO]
        let pid = try UnpackSession.spawn(command.path, command.arguments + [Self.argument], stdio: stdio)
        state.end = Task { _ = try? await Blocking.run(on: UnpackSession.lane) { try PidFD.reap(pid: pid) } }
        state.socket = ours.release()
    }

    private func ask(_ request: [UInt8], _ descriptors: [Int32], _ socket: Int32) throws(Errno) -> Child {
        try Messages.send(request, descriptors: descriptors, on: socket)
        var answer = try Messages.receive(on: socket, limit: 64)
        guard let pid = Int32(String(decoding: answer.bytes, as: UTF8.self)), let pidfd = answer.descriptor.take()
        else {
            throw .brokenPipe
        }
        return Child(pid: pid, pidfd: pidfd)
    }

    // MARK: The process

    /// Forks a helper for each request on standard input. Returns the exit status.
    static func serve() -> Int32 {
        signal(SIGPIPE, SIG_IGN)
        var buffer = [UInt8](repeating: 0, count: maxRequest)
        var idle = 0
        while idle < idleLimit {
            var poller = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            let ready = poll(&poller, 1, 1000)
            // How they ended the daemon learns by their output; here they only must not stay zombies.
            while waitpid(-1, nil, WNOHANG) > 0 {}
            idle = ready > 0 ? 0 : idle + 1
            if ready <= 0 { continue }
            var descriptors: [Int32] = [-1, -1]
            var count: Int32 = 0
            let length = buffer.withUnsafeMutableBytes {
                berth_receive(STDIN_FILENO, $0.baseAddress, $0.count, &descriptors, 2, &count)
            }
            guard length > 0, count == 2 else { return length == 0 ? 0 : 1 }
            let pid = berth_unpack_fork()
            if pid == 0 { helper(String(decoding: buffer[..<Int(length)], as: UTF8.self), descriptors) }
            for descriptor in descriptors { Glibc.close(descriptor) }
            guard pid > 0, let pidfd = try? PidFD.open(pid),
                (try? Messages.send(Array("\(pid)".utf8), descriptor: pidfd.rawValue, on: STDIN_FILENO)) != nil
            else { return 1 }
        }
        return 0
    }

    private static func helper(_ request: String, _ descriptors: [Int32]) -> Never {
        guard dup2(descriptors[0], STDIN_FILENO) == STDIN_FILENO, dup2(descriptors[1], STDOUT_FILENO) == STDOUT_FILENO
        else { _exit(1) }
        for descriptor in descriptors { Glibc.close(descriptor) }
        _exit(UnpackHelper.main([request]))
    }
}
