internal import BerthBase
internal import BerthSystem
internal import SystemPackage

/// One ExecSync while it runs: reads both outputs, keeps what is within the limit, knows when it is over. Belongs to
/// the control loop.
final class SyncExec {
    /// How long output is read after the process's exit while others hold its streams.
    static let drainPatience = Duration.seconds(2)
    /// The most that is sent in one message.
    private static let readBytes = 32768

    private final class Output {
        let source: OwnedBox
        var left: UInt64
        var isOpen = true
        init(_ source: OwnedBox, limit: UInt64) {
            self.source = source
            left = limit
        }
    }

    private let loop: EventLoop
    private let outputs: [Output]
    private var exit: Int32?
    private var timers: [EventLoop.TimerID] = []
    private(set) var isTruncated = false
    /// Called with what was read: the stream's number and its bytes.
    var onOutput: (Int, [UInt8]) -> Void = { _, _ in }
    /// Called once: with the exit status, or nil when the deadline has passed.
    var onEnd: (Int32?) -> Void = { _ in }

    init(stdout: OwnedBox, stderr: OwnedBox, limit: UInt64, loop: EventLoop) throws(Errno) {
        self.loop = loop
        outputs = [Output(stdout, limit: limit), Output(stderr, limit: limit)]
        for (index, output) in outputs.enumerated() {
            try LocalSocket.setNonblocking(output.source.number)
            try loop.watch(output.source.number, .input) { [unowned self] _ in read(index) }
        }
    }

    deinit { for output in outputs where output.isOpen { loop.forget(output.source.number) } }

    /// Ends without a status after some time.
    func limit(to timeout: Duration) { timers.append(loop.after(timeout) { [unowned self] in end(nil) }) }

    private func read(_ index: Int) {
        let output = outputs[index]
        let bytes: [UInt8]?
        do { bytes = try LocalSocket.receive(output.source.number, limit: SyncExec.readBytes) } catch { bytes = [] }
        guard let bytes else { return }
        if bytes.isEmpty {
            loop.forget(output.source.number)
            output.isOpen = false
            return endIfOver()
        }
        let kept = bytes.prefix(Int(clamping: output.left))
        output.left -= UInt64(kept.count)
        if kept.count < bytes.count { isTruncated = true }
        if !kept.isEmpty { onOutput(index, Array(kept)) }
    }

    /// The process has ended.
    func exited(_ status: Int32) {
        exit = status
        timers.append(loop.after(SyncExec.drainPatience) { [unowned self] in end(status) })
        endIfOver()
    }

    private func endIfOver() {
        if let exit, outputs.allSatisfy({ !$0.isOpen }) { end(exit) }
    }

    private func end(_ status: Int32?) {
        for timer in timers { loop.cancel(timer) }
        let tell = onEnd
        onEnd = { _ in }
        tell(status)
    }
}
