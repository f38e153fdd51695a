internal import BerthBase
internal import BerthIO
internal import BerthServices
internal import BerthShimAPI
internal import BerthShimClient
internal import BerthSystem
internal import Glibc

/// Runs a command to its end in the shim of others: FIFOs for its output and the Task service's own calls.
struct ForeignExec: Sendable {
    /// How long output may still come after the exit.
    static let drainPatience = Duration.seconds(2)

    let shim: Shim
    let container: String
    /// Where the FIFOs are made.
    let folder: String

    /// - Throws: `deadlineExceeded` after `timeout`; the process is killed then.
    func run(_ process: [UInt8], timeout: Duration?, limit: Int) async throws -> ExecResult {
        let execID = "sync-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
        let loop = try EventLoop.ofProcess()
        let stdout = try OutputFIFO(at: "\(folder)/\(execID)-out", limit: limit, on: loop)
        let stderr = try OutputFIFO(at: "\(folder)/\(execID)-err", limit: limit, on: loop)
        defer {
            stdout.remove()
            stderr.remove()
        }
        var request = ExecProcessRequest()
        (request.id, request.execID, request.stdout, request.stderr) = (container, execID, stdout.path, stderr.path)
        request.spec = .process(process)
        try await shim.exec(request)
        do {
            _ = try await shim.start(container, exec: execID)
            let status = try await shim.wait(for: container, exec: execID, within: timeout).exitStatus
            // The answer comes once the shim has copied everything.
            _ = try await shim.delete(container, exec: execID)
            return ExecResult(
                stdout: await stdout.drained(), stderr: await stderr.drained(), exitCode: Int32(bitPattern: status))
        } catch {
            await Task { await end(execID) }.value
            if case .deadlineExceeded = BerthError.wrapping(error).code {
                throw BerthError(.deadlineExceeded, "the command took longer than \(timeout ?? .zero); it was killed")
            }
            throw error
        }
    }

    private func end(_ execID: String) async {
        try? await shim.kill(container, exec: execID, signal: SIGKILL, all: false)
        _ = try? await shim.wait(for: container, exec: execID, within: .seconds(5))
        _ = try? await shim.delete(container, exec: execID)
    }
}

/// A FIFO that is read into memory, up to a limit; more is read and dropped.
final class OutputFIFO: Sendable {
    let path: String
    private let stream: BerthIO.Stream
    /// Keeps the FIFO from ending before the shim has opened it.
    private let writer: Shared<Int32>
    private let bytes = Shared<[UInt8]>([])
    private let reader: Task<Void, Never>

    init(at path: String, limit: Int, on loop: EventLoop) throws {
        self.path = path
        guard mkfifo(path, 0o600) == 0 else {
            throw BerthError(.internal, "make FIFO '\(path)': \(String(cString: strerror(errno)))")
        }
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0, writer >= 0 else {
            throw BerthError(.internal, "open FIFO '\(path)': \(String(cString: strerror(errno)))")
        }
        self.writer = Shared(writer)
        let stream = try BerthIO.Stream(OwnedFD(descriptor), on: loop)
        self.stream = stream
        let bytes = bytes
        reader = Task {
            while let piece = try? await stream.read(max: 65536), !piece.isEmpty {
                bytes.withLock { $0 += piece.prefix(limit - $0.count) }
            }
        }
    }

    /// What was written, once the writers are gone or the patience is over.
    func drained() async -> [UInt8] {
        closeWriter()
        await ShimRegistry.wait(for: reader, atMost: ForeignExec.drainPatience)
        return bytes.withLock { $0 }
    }

    private func closeWriter() {
        writer.withLock { descriptor in
            if descriptor >= 0 { close(descriptor) }
            descriptor = -1
        }
    }

    func remove() {
        closeWriter()
        stream.close()
        unlink(path)
    }
}
