internal import BerthBase

/// A line of the file `exits` in a shim's bundle: the shim appends one and syncs it before it publishes the exit, so
/// that the daemon learns of exits although the shim died after them.
///
/// `<sequence> <container> <exec, or - for the init process> <pid> <status> <exited at, ns> <oom: 0 or 1>\n`
package struct ExitRecord: Sendable, Hashable {
    /// The name of the file.
    package static let file = "exits"

    package var exit: ShimExit

    package init(_ exit: ShimExit) { self.exit = exit }

    /// The line, with its end.
    package var line: [UInt8] {
        let time = exit.exitedAt?.nanoseconds ?? 0
        let exec = exit.execID.isEmpty ? "-" : exit.execID
        let fields = [
            "\(exit.sequence)", exit.containerID, exec, "\(exit.pid)", "\(exit.exitStatus)", "\(time)",
            exit.oomKilled ? "1" : "0",
        ]
        return Array((fields.joined(separator: " ") + "\n").utf8)
    }

    /// The exits of a file. A last line without an end was cut short by a crash: its exit was not published.
    package static func parse(_ bytes: [UInt8]) -> [ShimExit] {
        bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast().compactMap(parseLine)
    }

    private static func parseLine(_ line: ArraySlice<UInt8>) -> ShimExit? {
        let fields = line.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
        guard fields.count == 7, let sequence = UInt64(fields[0]), let pid = UInt32(fields[3]),
            let status = UInt32(fields[4]), let time = Int64(fields[5])
        else { return nil }
        var exit = ShimExit()
        exit.sequence = sequence
        exit.containerID = fields[1]
        exit.execID = fields[2] == "-" ? "" : fields[2]
        exit.pid = pid
        exit.exitStatus = status
        exit.exitedAt = Timestamp(nanoseconds: time)
        exit.oomKilled = fields[6] == "1"
        return exit
    }
}
