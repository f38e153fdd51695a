internal import BerthBase
internal import BerthSystem
internal import SystemPackage

/// One stream of a job while it runs. Belongs to the relay's thread.
final class RelayStream {
    unowned let job: RunningJob
    let sink: RelayJob.Sink
    let isInput: Bool
    /// -1 once it has come to its end.
    var source: Int32
    /// The sink's descriptor, if it is one of this stream's own.
    var sinkDescriptor: Int32?
    /// What the sink has not taken yet; while there is something, nothing is read.
    var waiting: ArraySlice<UInt8> = []
    var isBlocked = false
    var framer: LineFramer?

    init(_ job: RunningJob, _ stream: RelayJob.Stream, isInput: Bool) {
        self.job = job
        self.isInput = isInput
        sink = stream.sink
        source = stream.source
        switch stream.sink {
        case .log(let name): framer = LineFramer(name)
        case .file(let file), .pipe(let file): sinkDescriptor = file
        }
    }
}

/// A job while it runs: its streams and its log.
final class RunningJob {
    /// A line that does not end must not keep a rotated log for ever: after so many bytes the new one is taken anyway.
    static let maxBytesBeforeSwitch = 1 << 20

    let id: RelayID
    private(set) var streams: [RelayStream] = []
    private let logPath: String?
    private var log: LogFile?
    /// The log that was opened by a `reopen` while a line was half written.
    private var next: LogFile?
    private var sinceReopen = 0

    var outputs: [RelayStream] { streams.filter { !$0.isInput } }

    init(_ id: RelayID, _ job: RelayJob) {
        self.id = id
        logPath = job.logPath
        if let path = job.logPath { log = try? LogFile(path, marks: true) }
        streams = job.streams.enumerated().map { index, stream in
            RelayStream(self, stream, isInput: index == job.input)
        }
    }

    /// Frames what a stream gave and appends it to the log.
    func append(_ bytes: ArraySlice<UInt8>, of stream: RelayStream) {
        let time = Timestamp.now().rfc3339
        var lines: [UInt8] = []
        stream.framer?.take(bytes, at: time, into: &lines)
        log?.append(lines, at: time)
    }

    /// A stream has ended: what it left of a line is written.
    func finish(_ stream: RelayStream) {
        guard stream.framer != nil else { return }
        let time = Timestamp.now().rfc3339
        var lines: [UInt8] = []
        stream.framer?.finish(at: time, into: &lines)
        log?.append(lines, at: time)
    }

    /// Opens the log's path again; lines go there as soon as none is half written.
    func reopen() -> BerthError? {
        guard let logPath else { return BerthError(.failedPrecondition, "reopen the log: the process has none") }
        do {
            next = try LogFile(logPath, marks: true)
        } catch {
            return BerthError(error, "reopen the log '\(logPath)'")
        }
        sinceReopen = 0
        switchLogs(after: 0)
        return nil
    }

    /// Goes over to a reopened log between two lines; `bytes` were written since the last look.
    func switchLogs(after bytes: Int) {
        guard next != nil else { return }
        sinceReopen += bytes
        let whole = streams.allSatisfy { $0.framer?.isAtLineStart ?? true }
        guard whole || sinceReopen >= RunningJob.maxBytesBeforeSwitch else { return }
        log = next.take()
    }
}
