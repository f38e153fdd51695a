internal import BerthBase

/// Names the relaying of one process's streams.
struct RelayID: Hashable, Sendable {
    let number: UInt64
}

/// What is to be copied for one process. All descriptors are the relay's from then on.
struct RelayJob: Sendable {
    /// One stream, read until its end.
    struct Stream: Sendable {
        /// A pipe's reading end, or a terminal's master.
        var source: Int32
        var sink: Sink
    }

    /// Where a stream goes.
    enum Sink: Sendable {
        /// Into the job's log, as records of this stream.
        case log(LogStream)
        /// Into a file as it is. What does not fit on the disk is lost: the container is never blocked.
        case file(Int32)
        /// Into a pipe, FIFO or terminal; the source waits while that is full.
        case pipe(Int32)
    }

    var streams: [Stream]
    /// The path of the CRI log, if a stream goes there.
    var logPath: String?
    /// The number of the stream that is the process's input; its end is not the end of the job.
    var input: Int?
}

/// What the control thread asks of the relay.
enum RelayCommand: Sendable {
    case add(RelayID, RelayJob)
    /// Opens the log's path again.
    case reopen(RelayID, token: UInt64)
    /// Copies what the sources hold now, and says so.
    case flush(RelayID, token: UInt64)
    /// Stops reading the process's input.
    case closeInput(RelayID)
    /// Copies what the sources hold now, and ends.
    case end(RelayID)
}

/// What the relay tells the control thread.
enum RelayNotice: Sendable {
    /// All outputs came to their end.
    case ended(RelayID)
    /// A `reopen` or `flush` is done.
    case done(token: UInt64, BerthError?)
}
