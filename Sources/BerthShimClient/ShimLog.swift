internal import BerthBase
internal import BerthIO
internal import BerthSystem
internal import Glibc

/// The log FIFO of a foreign shim: such a shim waits for a reader before it starts. Only the last words are kept,
/// for errors.
final class ShimLog: Sendable {
    /// The bytes kept.
    static let kept = 8 << 10

    private let stream: Stream
    private let tail = Shared<[UInt8]>([])
    private let reader = Shared<Task<Void, Never>?>(nil)

    /// Makes the FIFO, if it is not there, and reads it.
    init(in bundle: ShimBundle, on loop: EventLoop) throws {
        let path = "\(bundle.path)/log"
        guard mkfifo(path, 0o600) == 0 || errno == EEXIST else {
            throw BerthError(.internal, "make the log FIFO '\(path)': \(String(cString: strerror(errno)))")
        }
        // Both directions: so there is always a writer, and the end of one shim's process is not the end of the log.
        let descriptor = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            throw BerthError(.internal, "open the log FIFO '\(path)': \(String(cString: strerror(errno)))")
        }
        stream = try Stream(OwnedFD(descriptor), on: loop)
        let (stream, tail) = (stream, tail)
        reader.withLock {
            $0 = Task {
                while let bytes = try? await stream.read(max: 4096), !bytes.isEmpty {
                    tail.withLock { $0 = Array(($0 + bytes).suffix(Self.kept)) }
                }
            }
        }
    }

    /// What was written last.
    var text: String { tail.withLock { String(decoding: $0, as: UTF8.self) } }

    func close() {
        stream.close()
        reader.withLock { $0?.cancel() }
    }
}
