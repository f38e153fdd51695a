internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// A log that is appended to in whole lines, or not at all.
///
/// When the disk is full, whole lines are dropped and counted; the first line that finds room again is preceded by one
/// that says how many were lost. Writing never fails and never waits for room.
struct LogFile: ~Copyable {
    private let file: OwnedFD
    /// Lines that were not written since the last mark.
    private(set) var dropped: Int
    private var reason: Errno = .noSpace
    private let marks: Bool

    /// Opens a log at its end; made with mode 0640 if it is missing.
    ///
    /// - Parameter marks: whether a line about lost lines is written, which a raw file has no place for.
    init(_ path: String, marks: Bool, dropped: Int = 0) throws(Errno) {
        file = try Files.open(path, O_WRONLY | O_CREAT | O_APPEND, mode: 0o640)
        self.marks = marks
        self.dropped = dropped
    }

    /// Takes an open descriptor, which is in append mode.
    init(_ file: consuming OwnedFD, marks: Bool) {
        self.file = file
        self.marks = marks
        dropped = 0
    }

    /// Appends lines, each with its newline.
    mutating func append(_ lines: [UInt8], at time: String) {
        guard !lines.isEmpty else { return }
        let head = dropped > 0 && marks ? mark(at: time) : []
        guard let written = write(head + lines) else {
            dropped = marks ? 0 : dropped
            return
        }
        guard written > head.count else {
            // A mark alone would take the room of the next line, again and again.
            cut(written)
            return dropped += LogFile.count(lines[...])
        }
        dropped = LogFile.count(lines[(written - head.count)...]) + (marks ? 0 : dropped)
    }

    private func mark(at time: String) -> [UInt8] {
        Array("\(time) stderr F [berth: \(dropped) log lines lost: \(reason.name)]\n".utf8)
    }

    private static func count(_ lines: ArraySlice<UInt8>) -> Int { lines.reduce(0) { $0 + ($1 == 0x0a ? 1 : 0) } }

    /// Writes all, or takes back the line that did not fit. The number of bytes that are in the file; nil: all.
    private mutating func write(_ bytes: [UInt8]) -> Int? {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(file.rawValue, $0.baseAddress?.advanced(by: done), $0.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                reason = Errno(rawValue: errno)
                return takeBack(bytes, done)
            }
            done += count
        }
        return nil
    }

    private func takeBack(_ bytes: [UInt8], _ done: Int) -> Int {
        guard marks else { return done }
        let whole = (bytes[..<done].lastIndex(of: 0x0a) ?? -1) + 1
        cut(done - whole)
        return whole
    }

    /// Takes back the last bytes that were written.
    private func cut(_ count: Int) {
        guard count > 0 else { return }
        // In append mode the position is the end of what was written last; after a cut, the end of the file is.
        let end = lseek(file.rawValue, 0, SEEK_END)
        if end >= off_t(count) { _ = ftruncate(file.rawValue, end - off_t(count)) }
    }
}
