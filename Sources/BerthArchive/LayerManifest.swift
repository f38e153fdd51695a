internal import BerthBase
internal import BerthSystem
internal import CBerthUnpack
internal import Glibc
internal import SystemPackage

/// Writes what a layer should look like on disk, one line a member: `KIND MODE UID GID SIZE CHECKSUM PATH [TARGET]`.
///
/// The last line counts the lines and holds their checksum, so that half a manifest is never taken for a whole one.
final class ManifestWriter {
    static let header = "berth-layer-manifest 1\n"
    private static let flushSize = 64 * 1024
    private let file: OwnedFD
    private var buffer: [UInt8] = []
    private var checksum = CRC64()
    private var lines = 0

    init(_ file: consuming OwnedFD) {
        self.file = file
        buffer += Array(Self.header.utf8)
    }

    func add(_ entry: TarEntry, _ path: LayerPath, checksum: UInt64?) throws {
        let kind: Character =
            switch entry.kind {
            case .file: "f"
            case .hardLink: "h"
            case .symlink: "l"
            case .characterDevice: "c"
            case .blockDevice: "b"
            case .directory: "d"
            case .fifo: "p"
            }
        let sum = checksum.map { String($0, radix: 16) } ?? "-"
        let facts = "\(kind) \(String(entry.mode, radix: 8)) \(entry.uid) \(entry.gid) \(entry.size) \(sum) "
        try line(facts, path, target: entry.linkName)
    }

    /// A directory that the layer uses without naming it.
    func addImplied(_ path: LayerPath, mode: UInt32) throws {
        try line("i \(String(mode, radix: 8)) 0 0 0 - ", path, target: [])
    }

    func addWhiteout(_ path: LayerPath) throws { try line("w 0 0 0 0 - ", path, target: []) }

    private func line(_ facts: String, _ path: LayerPath, target: [UInt8]) throws {
        buffer.append(contentsOf: facts.utf8)
        Self.escape(path.bytes, into: &buffer)
        buffer.append(UInt8(ascii: " "))
        Self.escape(target, into: &buffer)
        buffer.append(0x0a)
        lines += 1
        if buffer.count >= Self.flushSize { try flush() }
    }

    private func flush() throws {
        buffer.withUnsafeBytes { checksum.update($0) }
        try attempting("write a layer's manifest") { () throws(Errno) in try Files.write(buffer, to: file.rawValue) }
        buffer.removeAll(keepingCapacity: true)
    }

    func finish() throws {
        try flush()
        let end = "end \(lines) \(String(checksum.value, radix: 16))\n"
        try attempting("write a layer's manifest") { () throws(Errno) in
            try Files.write(Array(end.utf8), to: file.rawValue)
        }
    }

    private static func escape(_ bytes: [UInt8], into out: inout [UInt8]) {
        let hex = Array("0123456789abcdef".utf8)
        for byte in bytes {
            if byte > 0x20, byte < 0x7f, byte != UInt8(ascii: "%") {
                out.append(byte)
            } else {
                out += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
    }
}

/// Compares an unpacked layer with its manifest, as is done after a power cut.
package enum LayerManifest {
    /// The longest manifest that is read: eight million members of a hundred bytes.
    static let maxSize = 1 << 30

    /// Whether every member of the manifest is in `directory` as it was written. False for a manifest that is
    /// missing, cut off, or cannot vouch for a member (a sparse file).
    package static func verify(_ manifest: String, against directory: String) throws -> Bool {
        guard let bytes = try? Files.read(manifest, limit: maxSize), let lines = whole(bytes) else { return false }
        var expected: [[UInt8]: Record] = [:]
        for line in lines {
            guard let record = Record(line) else { return false }
            expected[record.path] = record
        }
        let root = try attempting("open '\(directory)'") { () throws(Errno) in
            try Files.open(directory, O_RDONLY | O_DIRECTORY)
        }
        var buffer = [UInt8](repeating: 0, count: 256 * 1024)
        return expected.values.allSatisfy { $0.matches(below: root.rawValue, &buffer) }
    }

    /// The lines of a manifest, if its last line vouches for them.
    private static func whole(_ bytes: [UInt8]) -> [ArraySlice<UInt8>]? {
        guard bytes.starts(with: ManifestWriter.header.utf8), bytes.last == 0x0a,
            let before = bytes.dropLast().lastIndex(of: 0x0a)
        else { return nil }
        let end = String(decoding: bytes[(before + 1)...].dropLast(), as: UTF8.self).split(separator: " ")
        var checksum = CRC64()
        bytes[...before].withUnsafeBytes { checksum.update($0) }
        let lines = bytes[...before].split(separator: 0x0a).dropFirst()
        guard end.count == 3, end[0] == "end", Int(end[1]) == lines.count,
            UInt64(end[2], radix: 16) == checksum.value
        else { return nil }
        return Array(lines)
    }

    /// One line.
    private struct Record {
        let kind: UInt8
        let mode: UInt32
        let uid: UInt32
        let gid: UInt32
        let size: Int64
        let checksum: UInt64?
        let path: [UInt8]
        let target: [UInt8]

        init?(_ line: ArraySlice<UInt8>) {
            let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            guard fields.count == 8, fields[0].count == 1, let kind = fields[0].first else { return nil }
            let numbers = fields[1..<6].map { String(decoding: $0, as: UTF8.self) }
            guard let mode = UInt32(numbers[0], radix: 8), let uid = UInt32(numbers[1]), let gid = UInt32(numbers[2]),
                let size = Int64(numbers[3])
            else { return nil }
            self.kind = kind
            (self.mode, self.uid, self.gid, self.size) = (mode, uid, gid, size)
            checksum = UInt64(numbers[4], radix: 16)
            path = Record.unescape(fields[6])
            target = Record.unescape(fields[7])
        }

        private static func unescape(_ field: ArraySlice<UInt8>) -> [UInt8] {
            var out: [UInt8] = []
            var rest = field
            while let byte = rest.popFirst() {
                guard byte == UInt8(ascii: "%"), rest.count >= 2 else {
                    out.append(byte)
                    continue
                }
                out.append(UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) ?? 0)
                rest = rest.dropFirst(2)
            }
            return out
        }

        func matches(below root: Int32, _ buffer: inout [UInt8]) -> Bool {
            let name = String(decoding: path.isEmpty ? [46] : path, as: UTF8.self)
            let flags = kind == UInt8(ascii: "f") ? O_RDONLY | O_NOFOLLOW : Files.pathOnly | O_NOFOLLOW
            guard let file = try? Files.open(name, below: root, flags, resolve: [.inRoot, .noMagicLinks]) else {
                return false
            }
            var status = stat()
            guard fstat(file.rawValue, &status) == 0 else { return false }
            let type = status.st_mode & S_IFMT
            let same = status.st_mode & 0o7777 == mode && status.st_uid == uid && status.st_gid == gid
            switch kind {
            case UInt8(ascii: "f"):
                guard type == S_IFREG, same, status.st_size == size else { return false }
                return size == 0 || contents(file.rawValue, &buffer) == checksum
            case UInt8(ascii: "d"): return type == S_IFDIR && same
            case UInt8(ascii: "i"): return type == S_IFDIR
            case UInt8(ascii: "l"): return type == S_IFLNK && link(file.rawValue) == target
            case UInt8(ascii: "h"): return type == S_IFREG || type == S_IFLNK || type == S_IFCHR || type == S_IFIFO
            case UInt8(ascii: "c"): return type == S_IFCHR && same
            case UInt8(ascii: "b"): return type == S_IFBLK && same
            case UInt8(ascii: "p"): return type == S_IFIFO && same
            case UInt8(ascii: "w"): return type == S_IFCHR && status.st_rdev == 0
            default: return false
            }
        }

        private func contents(_ file: Int32, _ buffer: inout [UInt8]) -> UInt64? {
            var sum = CRC64()
            while true {
                let count = buffer.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
                if count == 0 { return sum.value }
                guard count > 0 else { return nil }
                buffer.withUnsafeBytes { sum.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            }
        }

        private func link(_ file: Int32) -> [UInt8]? {
            var room = [CChar](repeating: 0, count: LayerPath.maxLength + 1)
            let count = readlinkat(file, "", &room, room.count)
            return count < 0 ? nil : room[..<count].map { UInt8(bitPattern: $0) }
        }
    }
}
