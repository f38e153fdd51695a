internal import BerthBase
internal import BerthOCI
internal import BerthSystem

/// Compiled filters as files below the state root, by the content they were compiled from: most containers share one.
struct SeccompCache {
    private let folder: String

    init(_ stateRoot: String) { folder = stateRoot + "/.seccomp" }

    func program(for seccomp: OCISeccomp) throws(BerthError) -> SeccompProgram? {
        let key = try OCIJSON.encode(seccomp)
        let path = folder + "/" + SeccompCache.hash(key)
        if let known = read(path, key) { return known }
        guard let program = try SeccompCompiler.compile(seccomp) else { return nil }
        var bytes: [UInt8] = []
        bytes.append(littleEndian: UInt64(key.count))
        bytes.append(contentsOf: key)
        bytes.append(littleEndian: program.flags)
        bytes.append(contentsOf: program.program)
        // The cache only saves time: a full disk is no reason not to run.
        try? Files.makeDirectories(folder, mode: 0o700)
        try? Files.replace(path, with: bytes, mode: 0o600)
        return program
    }

    /// The whole source is compared: the hash only finds the file.
    private func read(_ path: String, _ key: [UInt8]) -> SeccompProgram? {
        guard let bytes = try? Files.read(path, limit: 4 << 20), bytes.count > key.count + 16,
            (0..<8).allSatisfy({ bytes[$0] == UInt8(truncatingIfNeeded: key.count >> ($0 * 8)) }),
            bytes[8..<8 + key.count].elementsEqual(key)
        else { return nil }
        let at = 8 + key.count
        let flags = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[at + $1]) << UInt64($1 * 8) }
        return SeccompProgram(program: Array(bytes[(at + 8)...]), flags: flags)
    }

    /// FNV-1a.
    private static func hash(_ bytes: [UInt8]) -> String {
        String(bytes.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }, radix: 16)
    }
}
