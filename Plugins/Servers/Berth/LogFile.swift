internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// A log file that is read while another process writes, rotates and finally ends it. Used by one call at a time.
final class LogFile: Sendable {
    /// The most bytes of one read.
    static let chunk = 64 << 10

    private struct Open: Sendable {
        var descriptor: Int32
        var inode: UInt64
        var offset: Int64
    }

    private let path: String
    private let state = Shared<Open?>(nil)

    init(path: String) { self.path = path }

    deinit {
        if let open = state.withLock({ $0 }) { close(open.descriptor) }
    }

    /// Places the reader `lines` before the end, at the beginning for nil. A file that is not there yet is read from
    /// its beginning once it is.
    func start(lastLines lines: Int?) throws {
        guard try reopen(), let lines else { return }
        try state.withLock { open in
            guard let file = open else { return }
            open?.offset = try Self.offset(ofLast: lines, in: file.descriptor)
        }
    }

    /// The next bytes; empty when all that is there was read. After a rotation the old file is read to its end first.
    func read() throws -> [UInt8] {
        let bytes = try readOpen()
        if !bytes.isEmpty { return bytes }
        guard try isReplaced(), try reopen() else { return [] }
        return try readOpen()
    }

    private func readOpen() throws -> [UInt8] {
        try state.withLock { open in
            guard let file = open else { return [] }
            let bytes = try Self.bytes(of: file.descriptor, at: file.offset, count: Self.chunk)
            // Cut short in place (copytruncate): what is there now is new.
            if bytes.isEmpty, try Self.size(of: file.descriptor) < file.offset { open?.offset = 0 }
            open?.offset += Int64(bytes.count)
            return bytes
        }
    }

    private func isReplaced() throws -> Bool {
        guard let open = state.withLock({ $0 }) else { return true }
        var status = stat()
        // Between the renaming of the old file and the making of the new one there is none.
        guard stat(path, &status) == 0 else { return false }
        return status.st_ino != open.inode
    }

    private func reopen() throws -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            if errno == ENOENT { return false }
            throw BerthError(.internal, "read the log '\(path)': \(String(cString: strerror(errno)))")
        }
        var status = stat()
        fstat(descriptor, &status)
        let before = state.withLock { open in
            defer { open = Open(descriptor: descriptor, inode: UInt64(status.st_ino), offset: 0) }
            return open
        }
        if let before { close(before.descriptor) }
        return true
    }

    private static func size(of descriptor: Int32) throws -> Int64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw BerthError(.internal, "size of a log: errno \(errno)") }
        return Int64(status.st_size)
    }

    private static func bytes(of descriptor: Int32, at offset: Int64, count: Int) throws -> [UInt8] {
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            let got = pread(descriptor, buffer.baseAddress, count, off_t(offset))
            failure = got < 0 ? errno : 0
            filled = max(0, got)
        }
        guard failure == 0 else { throw BerthError(.internal, "read a log: \(String(cString: strerror(failure)))") }
        return bytes
    }

    /// Where the last so many lines begin. Parts of a line (tag `P`) do not count.
    static func offset(ofLast lines: Int, in descriptor: Int32) throws -> Int64 {
        let end = try size(of: descriptor)
        guard lines > 0 else { return end }
        var position = end
        var tail: [UInt8] = []
        while position > 0 {
            let count = Int(min(Int64(chunk), position))
            position -= Int64(count)
            tail = try bytes(of: descriptor, at: position, count: count) + tail
            if let start = start(ofLast: lines, in: tail, isWhole: position == 0) { return position + Int64(start) }
        }
        return 0
    }

    /// Where the last so many whole lines begin in the tail of a file; nil when it is too short to tell.
    private static func start(ofLast lines: Int, in tail: [UInt8], isWhole: Bool) -> Int? {
        var ends = tail.indices.filter { tail[$0] == 0x0a }
        // Without the file's beginning, the first line is a piece of one.
        let first = isWhole ? 0 : (ends.isEmpty ? tail.count : ends.removeFirst() + 1)
        var starts: [Int] = []
        var begin = first
        var isContinued = false
        for end in ends {
            if !isContinued { starts.append(begin) }
            isContinued = LogLine(tail[begin..<end])?.isPartial ?? false
            begin = end + 1
        }
        if starts.count > lines || (isWhole && starts.count >= lines) { return starts[starts.count - lines] }
        return nil
    }
}
