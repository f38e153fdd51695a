internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import CBerthClone
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Copies of `berth-init` in sealed memory: what a container could reach by `/proc/self/exe` is no file of the host.
enum InitProgram {
    private static let copies = Mutex<[String: Int32]>([:])

    /// The descriptor of the copy, made at first use and kept for the life of this process.
    static func descriptor(of path: FilePath) throws(BerthError) -> Int32 {
        if let known = copies.withLock({ $0[path.string] }) { return known }
        let number = try attempting("load '\(path)'") { () throws(Errno) in
            try MemoryFile.make("berth-init", Files.read(path.string, limit: 131_072), sealed: true).release()
        }
        return copies.withLock { copies in
            if let other = copies[path.string] {
                close(number)
                return other
            }
            copies[path.string] = number
            return number
        }
    }
}

/// Starts `berth-init` with a plan and talks with it until the user's program runs or waits to be started.
struct Launcher: ~Copyable {
    /// What the runtime does when the child asks for it.
    struct Part {
        /// Called once with the process that will be the user's, before anything of it is waited for.
        var onProcess: (Int32) throws(BerthError) -> [String] = { _ throws(BerthError) in [] }
        /// Writes the maps of the process's new user namespace.
        var writeMaps: (Int32) throws(BerthError) -> Void = { _ throws(BerthError) in }
        /// At a sync point; the answer is what the child keeps as the container's state.
        var sync: (SyncPoint, Int32) throws(BerthError) -> [UInt8] = { _, _ throws(BerthError) in [] }
    }

    private(set) var pid: Int32 = -1
    private var pidfd: OwnedFD
    private let pair: SocketPair
    private var console: OwnedFD?
    private var warnings: [String] = []
    /// Whether the word of the next process has still to come: that process may say more before.
    private var awaitsNext: Bool
    private var early: [InitMessage] = []

    /// Clones the child, which executes `berth-init` at once.
    init(
        _ plan: borrowing InitPlan, program: Int32, namespaces: Namespaces, cgroup: Int32? = nil, preserved: Int = 0
    ) throws(BerthError) {
        var pair = try attempting("make a channel") { () throws(Errno) in try SocketPair() }
        guard let second = pair.second.take() else { throw BerthError(.internal, "the channel has one end") }
        let theirs = second.rawValue
        let file = try attempting("write the plan") { () throws(Errno) in
            try MemoryFile.make("plan", plan.encoded(sync: theirs), sealed: false)
        }
        let kept = plan.kept + [theirs]
        var launch = unsafe berth_launch()
        let flags = namespaces.rawValue | (cgroup == nil ? 0 : 0x2_0000_0000)
        // SAFETY: the array of kept descriptors lives through the call, which does not return before the child's
        // execve.
        let result = unsafe kept.withUnsafeBufferPointer { kept in
            unsafe launch.flags = flags
            unsafe launch.program = program
            unsafe launch.cgroup = cgroup ?? 0
            unsafe launch.plan = file.rawValue
            unsafe launch.kept = kept.baseAddress
            unsafe launch.kept_count = Int32(kept.count)
            unsafe launch.preserved = Int32(preserved)
            return unsafe berth_launch(&launch)
        }
        guard result == 0 else { throw BerthError(Errno(rawValue: -result), "clone a process for the container") }
        pid = unsafe launch.pid
        pidfd = OwnedFD(unsafe launch.pidfd)
        self.pair = pair
        awaitsNext = plan.forks
    }

    /// Sends descriptors that the child waits for first of all.
    func send(_ descriptors: [Int32]) throws(BerthError) {
        try attempting("hand the cgroup to the container's process") { () throws(Errno) in
            try Messages.send([1], descriptors: descriptors, on: pair.first.rawValue)
        }
    }

    /// Serves the child until it is ready to start; on failure it is ended and reaped.
    mutating func serve(_ part: Part) throws(BerthError) {
        do throws(BerthError) {
            warnings += try part.onProcess(pid)
            while try serveOne(part) {}
        } catch {
            abandon()
            throw error
        }
    }

    /// One message; false at the one that says "ready".
    private mutating func serveOne(_ part: Part) throws(BerthError) -> Bool {
        let message = try receive()
        switch message.kind {
        case 3: try follow(Int32(bitPattern: message.value), part)
        case 4:
            try part.writeMaps(pid)
            try answer([1])
        case 5:
            guard let point = SyncPoint(rawValue: UInt64(message.value)) else { throw lost("sync \(message.value)") }
            try answer(try part.sync(point, pid))
        case 8: return false
        default: throw lost("message \(message.kind)")
        }
        return true
    }

    /// The first process gave way to its child in the container's pid namespace.
    private mutating func follow(_ next: Int32, _ part: Part) throws(BerthError) {
        awaitsNext = false
        let nextFD = try attempting("open process \(next)") { () throws(Errno) in try PidFD.open(next) }
        _ = try? PidFD.reap(pidfd.rawValue)
        pid = next
        pidfd = nextFD
        warnings = []
        warnings += try part.onProcess(pid)
    }

    /// Lets a ready process go on, and waits until its program runs.
    mutating func start(state: [UInt8]) throws(BerthError) {
        do throws(BerthError) {
            try answer(state.isEmpty ? [1] : state)
            while let message = try receiveOrEnd() {
                guard message.kind == 8 else { throw lost("message \(message.kind)") }
            }
        } catch {
            abandon()
            throw error
        }
    }

    /// Ends and reaps the process.
    mutating func abandon() {
        try? PidFD.signal(pidfd.rawValue, SIGKILL)
        _ = try? PidFD.reap(pidfd.rawValue)
    }

    /// The process, now the caller's.
    consuming func finish() -> LaunchedProcess {
        LaunchedProcess(pid: pid, pidfd: pidfd, console: console, warnings: warnings)
    }

    private func answer(_ bytes: [UInt8]) throws(BerthError) {
        try attempting("answer the container's process") { () throws(Errno) in
            try Messages.send(bytes, on: pair.first.rawValue)
        }
    }

    private func lost(_ what: String) -> BerthError {
        BerthError(.internal, "the container's process said what nobody expected (\(what))")
    }

    private mutating func receive() throws(BerthError) -> InitMessage {
        if let message = try receiveOrEnd() { return message }
        throw BerthError(.aborted, "the container's process ended before it was ready (\(ending()))")
    }

    private func ending() -> String {
        guard let outcome = try? PidFD.reap(pidfd.rawValue) else { return "how is not known" }
        switch outcome {
        case .exited(let status): return "exit status \(status)"
        case .signaled(let signal, _): return "signal \(signal)"
        }
    }

    /// The next message that is not a warning; nil once the child's end is closed. An error it reports is thrown.
    private mutating func receiveOrEnd() throws(BerthError) -> InitMessage? {
        if !awaitsNext, !early.isEmpty { return early.removeFirst() }
        while true {
            var received = try attempting("hear from the container's process") { () throws(Errno) in
                try Messages.receive(on: pair.first.rawValue, limit: 4096)
            }
            guard let message = InitMessage(received.bytes) else { return nil }
            switch message.kind {
            case 1: throw message.error
            case 2: warnings.append("\(message.detail): \(Errno(rawValue: message.number).name)")
            case 6: console = received.descriptor.take()
            default:
                // The first process tells of the second after it made it: the second may be quicker.
                guard awaitsNext, message.isOfLastProcess else { return message }
                early.append(message)
            }
        }
    }
}

/// A message of `berth-init`.
struct InitMessage {
    let kind: UInt32
    let number: Int32
    let operation: UInt32
    let value: UInt32
    let detail: String

    /// nil for what is too short to be one, such as the end of the channel.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 16 else { return nil }
        func word(_ at: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << UInt32($1 * 8) }
        }
        kind = word(0)
        number = Int32(bitPattern: word(4))
        operation = word(8)
        value = word(12)
        detail = String(decoding: bytes[16...].prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Whether only the process that becomes the user's says this, which may be the second one.
    var isOfLastProcess: Bool { kind == 8 || kind == 5 && value != UInt32(SyncPoint.timeOffsets.rawValue) }

    /// `mount on '/x': EINVAL (stage mount)`.
    var error: BerthError {
        BerthError(Errno(rawValue: number), detail).suffixed(" (stage \(stage))")
    }

    private var stage: String {
        guard let operation = InitPlan.Operation(rawValue: operation) else { return "\(operation)" }
        switch operation {
        case .propagation, .rootfs, .pivot, .setAttributes: return "rootfs"
        case .mountFS, .mountFD, .mkdir: return "mount"
        case .mknod, .symlink: return "devices"
        case .cgroup: return "cgroup"
        case .setns, .unshare, .map, .fork, .loopback: return "namespaces"
        case .mask, .readonly: return "\(operation)"
        case .procfs, .procWrite: return "proc"
        case .find, .execute: return "exec"
        case .bounding, .capabilities, .ambient: return "capabilities"
        default: return "\(operation)"
        }
    }
}

extension BerthError {
    func suffixed(_ text: String) -> BerthError { BerthError(code, message + text, cause: cause) }
}
