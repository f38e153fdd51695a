internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// What a logger is told about whose lines it gets.
struct LoggerContext: Sendable {
    var container: String
    var namespace: String
}

/// A program that takes the outputs of one process on its descriptors 3 and 4, and says on 5 that it is ready by
/// writing or closing it. Source: containerd's runtime v2 documentation, "Logging".
final class LoggerProcess {
    /// How long a logger may take to be ready.
    static let patience = Duration.seconds(10)

    let pid: Int32
    let path: String
    /// Readable when the logger is ready, or gone.
    let ready: OwnedBox

    private init(_ pid: Int32, _ path: String, _ ready: OwnedBox) {
        self.pid = pid
        self.path = path
        self.ready = ready
    }

    /// Starts the program; the writing ends of both pipes are for the process that is logged.
    static func start(
        _ path: String, _ arguments: [String], _ context: LoggerContext
    ) throws(BerthError) -> (process: LoggerProcess, stdout: OwnedBox, stderr: OwnedBox) {
        try attempting("start the logger '\(path)'") { () throws(Errno) in
            let output = BoxedPipe(try PipeEnds()), errors = BoxedPipe(try PipeEnds()),
                ready = BoxedPipe(try PipeEnds())
            let null = try Files.open("/dev/null", O_RDWR)
            var environment = ["CONTAINER_ID=\(context.container)", "CONTAINER_NAMESPACE=\(context.namespace)"]
            if let search = getenv("PATH") { environment.append("PATH=\(String(cString: search))") }
            let pid = try Spawn.start(
                path, arguments, environment: environment,
                descriptors: [
                    null.rawValue, null.rawValue, null.rawValue, output.reader.number, errors.reader.number,
                    ready.writer.number,
                ])
            return (LoggerProcess(pid, path, ready.reader), output.writer, errors.writer)
        }
    }
}

/// Both ends of a pipe with owners of their own.
struct BoxedPipe {
    let reader: OwnedBox
    let writer: OwnedBox

    init(_ pipe: consuming PipeEnds) {
        let ends = pipe.release()
        reader = OwnedBox(ends.reader)
        writer = OwnedBox(ends.writer)
    }
}
