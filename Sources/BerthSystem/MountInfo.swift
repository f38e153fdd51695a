package import SystemPackage

/// One line of `/proc/PID/mountinfo`. Source: proc(5).
package struct MountInfo: Hashable, Sendable {
    package var id: Int
    package var parent: Int
    /// `major:minor` of the file system.
    package var device: String
    /// The directory of the file system that is the root of the mount.
    package var root: String
    package var mountPoint: String
    package var options: [String]
    /// `shared:N`, `master:N`, …
    package var propagation: [String]
    package var type: String
    package var source: String
    package var superOptions: [String]

    /// The mounts of a process, by default the caller's thread.
    package static func current(of process: String = "thread-self") throws(Errno) -> [MountInfo] {
        parse(try Files.read("/proc/\(process)/mountinfo"))
    }

    /// Reads the lines of a mountinfo file; lines that make no sense are left out.
    package static func parse(_ bytes: [UInt8]) -> [MountInfo] {
        bytes.split(separator: 0x0a).compactMap { MountInfo(line: Array($0)) }
    }

    private init?(line: [UInt8]) {
        let fields = line.split(separator: 0x20).map { MountInfo.unescape($0) }
        guard fields.count >= 10, let id = Int(fields[0]), let parent = Int(fields[1]),
            let dash = fields[6...].firstIndex(of: "-"), dash + 3 < fields.count
        else { return nil }
        self.id = id
        self.parent = parent
        device = fields[2]
        root = fields[3]
        mountPoint = fields[4]
        options = fields[5].split(separator: ",").map(String.init)
        propagation = Array(fields[6..<dash])
        type = fields[dash + 1]
        source = fields[dash + 2]
        superOptions = fields[dash + 3].split(separator: ",").map(String.init)
    }

    /// Space, tab, newline and backslash are written as `\` and three octal digits.
    private static func unescape(_ field: ArraySlice<UInt8>) -> String {
        guard field.contains(0x5c) else { return String(decoding: field, as: UTF8.self) }
        var out: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == 0x5c, digits.count == 3, digits.allSatisfy({ (0x30...0x37).contains($0) }) {
                out.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 * 8 + Int($1 - 0x30) }))
                rest = rest.dropFirst(3)
            } else {
                out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
