internal import BerthBase
internal import BerthDigest
internal import BerthServices
internal import Glibc

/// The files of the store. Blocks.
struct ContentFiles: Sendable {
    let root: String

    /// Makes the folders and empties the trash that a crash left.
    func prepare() throws {
        for folder in ["", "/blobs", "/blobs/sha256", "/blobs/sha512", "/ingest", "/trash"] {
            if mkdir(root + folder, 0o700) != 0 && errno != EEXIST { throw failure("make '\(root)\(folder)'") }
        }
        for name in entries("\(root)/trash") { unlink("\(root)/trash/\(name)") }
        // An ingest without its description was cut short before its first byte, one without data after it became a
        // blob.
        for name in entries("\(root)/ingest") {
            let folder = "\(root)/ingest/\(name)"
            if access("\(folder)/ref", F_OK) != 0 || access("\(folder)/data", F_OK) != 0 { try removeIngest(folder) }
        }
    }

    func path(of digest: Digest) -> String { "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

    func info(_ digest: Digest) throws -> BlobInfo {
        var file = stat()
        guard lstat(path(of: digest), &file) == 0 else {
            if errno == ENOENT { throw BerthError(.notFound, "content \(digest) not found") }
            throw failure("look at content \(digest)")
        }
        return BlobInfo(digest: digest, size: Int64(file.st_size), createdAt: Self.time(file.st_mtim))
    }

    static func time(_ time: timespec) -> Timestamp {
        Timestamp(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    func read(_ digest: Digest, offset: Int64, count: Int) throws -> [UInt8] {
        let size = try info(digest).size
        guard offset >= 0, offset <= size else {
            throw BerthError(.outOfRange, "read \(digest) at \(offset): it has \(size) bytes")
        }
        let descriptor = open(path(of: digest), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open content \(digest)") }
        defer { close(descriptor) }
        let wanted = min(Int64(count), size - offset)
        var got = 0
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(wanted)) { buffer, filled in
            while got < Int(wanted) {
                let count = pread(
                    descriptor, buffer.baseAddress?.advanced(by: got), Int(wanted) - got, off_t(offset) + got)
                if count < 0 { failed = true }
                if count <= 0 { break }
                got += count
            }
            filled = got
        }
        if failed { throw failure("read content \(digest)") }
        return bytes
    }

    func delete(_ digest: Digest) throws {
        let trash = "\(root)/trash/\(digest.hex)-\(Timestamp.now().nanoseconds)"
        guard rename(path(of: digest), trash) == 0 else {
            if errno == ENOENT { throw BerthError(.notFound, "content \(digest) not found") }
            throw failure("delete content \(digest)")
        }
        unlink(trash)
    }

    func list() throws -> [BlobInfo] {
        Digest.Algorithm.allCases.flatMap { algorithm in
            entries("\(root)/blobs/\(algorithm.rawValue)").compactMap { name in
                (try? Digest("\(algorithm.rawValue):\(name)")).flatMap { try? info($0) }
            }
        }
    }

    /// The folder of an ingest: refs may have any characters, so a digest of the ref names it.
    func folder(of ref: String) throws -> String { "\(root)/ingest/\(try ContentHash.digest(of: Array(ref.utf8)).hex)" }

    func ingests() throws -> [IngestStatus] {
        try entries("\(root)/ingest").compactMap { name in
            guard let ref = text("\(root)/ingest/\(name)/ref") else { return nil }
            return try status(folder: "\(root)/ingest/\(name)", ref: ref)
        }
    }

    func status(folder: String, ref: String) throws -> IngestStatus {
        var data = stat(), begin = stat()
        _ = lstat("\(folder)/data", &data)
        _ = lstat("\(folder)/ref", &begin)
        let total = text("\(folder)/total").flatMap { Int64($0) } ?? 0
        let expected = text("\(folder)/expected").flatMap { try? Digest($0) }
        return IngestStatus(
            ref: ref, offset: Int64(data.st_size), total: total, expected: expected,
            startedAt: Self.time(begin.st_mtim), updatedAt: Self.time(data.st_mtim))
    }

    func abort(_ ref: String) throws {
        let folder = try folder(of: ref)
        guard access(folder, F_OK) == 0 else { throw BerthError(.notFound, "ingest '\(ref)' not found") }
        try removeIngest(folder)
    }

    func removeIngest(_ folder: String) throws {
        for name in ["data", "total", "expected", "ref"] { unlink("\(folder)/\(name)") }
        if rmdir(folder) != 0 && errno != ENOENT { throw failure("remove '\(folder)'") }
    }

    func text(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            count = max(0, Glibc.read(descriptor, buffer.baseAddress, buffer.count))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    func entries(_ folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    func failure(_ what: String) -> BerthError { Self.failure(what, errno) }

    static func failure(_ what: String, _ number: Int32) -> BerthError {
        let code: BerthError.Code =
            number == ENOSPC || number == EDQUOT ? .resourceExhausted : number == EACCES ? .permissionDenied : .internal
        return BerthError(code, "\(what): \(String(cString: strerror(number)))")
    }
}
