internal import BerthBase
internal import Glibc

/// A network configuration with the text it was read from.
struct LoadedNetwork: Sendable {
    var configuration: NetworkConfiguration
    var bytes: [UInt8]
    /// Files before it that were left out because they are wrong, each with why.
    var ignored: [String] = []
    var name: String { configuration.name }
}

/// Finds the pods' network: the first valid file of the directory in name order, read again when it changed.
actor ConfigurationLoader {
    /// The largest configuration that is read.
    static let maxBytes = 1 << 20

    private let directory: String
    private var loaded: (signature: String, network: LoadedNetwork)?

    init(directory: String) { self.directory = directory }

    /// - Throws: `unavailable` when there is no file; `invalidArgument` with every file's error when none is valid.
    func load() async throws -> LoadedNetwork {
        let directory = self.directory
        let signature = try await Blocking.run { try Self.signature(of: directory) }
        if let loaded, loaded.signature == signature { return loaded.network }
        let network = try await Blocking.run { try Self.read(directory) }
        loaded = (signature, network)
        return network
    }

    private static func files(in directory: String) throws -> [String] {
        guard let stream = opendir(directory) else {
            throw BerthError(
                .unavailable,
                "no pod network: the directory '\(directory)' of CNI configurations cannot be read; install one")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if [".conflist", ".conf", ".json"].contains(where: name.hasSuffix) { names.append(name) }
        }
        return names.sorted()
    }

    private static func signature(of directory: String) throws -> String {
        try files(in: directory).map { name in
            var info = stat()
            stat("\(directory)/\(name)", &info)
            return "\(name):\(info.st_ino):\(info.st_size):\(info.st_mtim.tv_sec).\(info.st_mtim.tv_nsec)"
        }.joined(separator: "\n")
    }

    private static func read(_ directory: String) throws -> LoadedNetwork {
        var problems: [String] = []
        for name in try files(in: directory) {
            do {
                let path = "\(directory)/\(name)"
                let bytes = try contents(of: path)
                let configuration = try NetworkConfiguration(file: path, bytes: bytes)
                // Loopback is built in; distributions ship a 99-loopback.conf all the same.
                if configuration.isLoopbackOnly { continue }
                return LoadedNetwork(configuration: configuration, bytes: bytes, ignored: problems)
            } catch {
                problems.append("\(error)")
            }
        }
        guard problems.isEmpty else { throw BerthError(.invalidArgument, problems.joined(separator: "; ")) }
        throw BerthError(.unavailable, "no pod network: no CNI configuration in '\(directory)'; install one")
    }

    private static func contents(of path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw BerthError(.unavailable, "open '\(path)': \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while bytes.count <= maxBytes {
            let chunk = [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
                count = max(0, Glibc.read(descriptor, buffer.baseAddress, buffer.count))
            }
            if chunk.isEmpty { return bytes }
            bytes += chunk
        }
        throw BerthError(.resourceExhausted, "CNI configuration '\(path)' is larger than \(maxBytes) bytes")
    }
}
