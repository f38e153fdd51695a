internal import BerthBase
internal import BerthSystem
internal import CBerthUnpack
internal import Glibc
internal import SystemPackage

/// How a layer says that a file of the layers below is gone.
package enum WhiteoutForm: String, Sendable {
    /// As overlayfs wants it: a character device 0:0, and `trusted.overlay.opaque` on directories.
    case overlay
    /// By removing the file: the directory holds a copy of the layers below.
    case plain
}

/// Writes the members of a layer into a directory, by descriptors only.
///
/// Whatever a layer says, nothing outside the directory changes: every name is opened one component at a time
/// without following links; where a parent is a link of the layer's own, it is resolved with the directory as root.
/// A name that leads upwards is refused. Runs on one thread, whose working directory it changes.
struct LayerApplier: TarConsumer {
    /// The most members one layer may have.
    static let maxEntries = 8_000_000

    let form: WhiteoutForm
    /// The layers below, top first, for the mode and owner of directories that the layer does not name.
    let lowers: [Int32]
    let cache: DirectoryCache
    let manifest: ManifestWriter?
    /// Paths that this layer wrote, in plain form: a whiteout is about the layers below only.
    var written: Set<LayerPath> = []
    /// Times of directories, set at the end because every member changes them.
    var directoryTimes: [LayerPath: TarEntry.Time] = [:]
    private(set) var entries = 0
    private(set) var fileBytes: Int64 = 0
    /// Attributes that the file system does not take.
    private(set) var skippedAttributes = 0

    /// The member that is being written.
    private var entry = TarEntry()
    var path = LayerPath.root
    var parent: DirectoryCache.Directory
    private var file: Int32 = -1
    private var checksum = CRC64()

    /// Applies below the directory behind `root`, which the applier does not close.
    init(root: Int32, form: WhiteoutForm, lowers: [Int32], manifest: ManifestWriter?) throws(BerthError) {
        self.form = form
        self.lowers = lowers
        self.manifest = manifest
        let directory = try attempting("open the layer's directory") { () throws(Errno) in
            try DirectoryCache.open([46, 0], in: root)
        }
        cache = DirectoryCache(root: directory)
        parent = directory
    }

    /// Closes a file whose member was cut off.
    mutating func abandon() {
        if file >= 0 { close(file) }
        file = -1
    }

    mutating func begin(_ entry: TarEntry) throws {
        entries += 1
        guard entries <= Self.maxEntries else {
            throw BerthError(.resourceExhausted, "unpack a layer: it has more than \(Self.maxEntries) members")
        }
        self.entry = entry
        path = try LayerPath(entry.name)
        if path.isRoot {
            guard entry.kind == .directory else {
                throw BerthError(.invalidArgument, "unpack a layer: a member that is no directory is the root")
            }
            try finishDirectory(cache.root)
            return
        }
        parent = try directory(path.parent)
        if path.leaf.starts(with: Self.whiteoutPrefix) { return try whiteout() }
        if form == .plain { written.insert(path) }
        switch entry.kind {
        case .file: try makeFile()
        case .directory: try makeDirectory()
        case .hardLink: try makeHardLink()
        case .symlink, .characterDevice, .blockDevice, .fifo: try makeSpecial()
        }
    }

    mutating func data(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws {
        guard file >= 0 else { return }
        if manifest != nil && entry.segments == nil { checksum.update(bytes) }
        fileBytes += Int64(bytes.count)
        var done = 0
        while done < bytes.count {
            let (from, at) = (bytes.baseAddress?.advanced(by: done), Int(offset) + done)
            let left = bytes.count - done
            done += try attempt("write") { () throws(Errno) in try retrying { pwrite(file, from, left, at) } }
        }
    }

    mutating func end() throws {
        guard file >= 0 else { return }
        let fd = file
        defer {
            close(fd)
            file = -1
        }
        if entry.segments != nil {
            try attempt("extend") { () throws(Errno) in try check(ftruncate(fd, Int(entry.size))) }
        }
        try setOwner(fd)
        try setAttributes(fd)
        if entry.mode & 0o7000 != 0 {
            try attempt("set the mode of") { () throws(Errno) in try check(fchmod(fd, entry.mode)) }
        }
        var times = self.times
        try attempt("set the times of") { () throws(Errno) in try check(futimens(fd, &times)) }
        try manifest?.add(entry, path, checksum: entry.segments == nil ? checksum.value : nil)
    }

    /// Sets the times of directories. Called once, after the last member.
    mutating func finish() throws {
        for (path, time) in directoryTimes {
            // A directory that was replaced meanwhile has no time to set.
            guard
                let directory = try? Files.open(
                    String(decoding: path.isRoot ? [46] : path.bytes, as: UTF8.self), below: cache.root.fd,
                    O_RDONLY | O_DIRECTORY, resolve: [.inRoot, .noSymlinks, .noMagicLinks])
            else { continue }
            var times = Self.timespecs(time, time)
            futimens(directory.rawValue, &times)
        }
        try manifest?.finish()
    }
}

// MARK: - Making members

extension LayerApplier {
    /// Runs a system call; its error names the member.
    @discardableResult
    func attempt<T: ~Copyable>(_ what: String, _ body: () throws(Errno) -> T) throws(BerthError) -> T {
        try attempting("unpack a layer: \(what) '\(path.text)'", body)
    }

    private static func timespecs(_ access: TarEntry.Time, _ change: TarEntry.Time) -> [timespec] {
        [access, change].map { timespec(tv_sec: time_t($0.seconds), tv_nsec: Int($0.nanoseconds)) }
    }

    private var times: [timespec] { Self.timespecs(entry.accessed ?? entry.modified, entry.modified) }

    /// Runs a call that makes the member; if the name is taken, frees it and runs the call again.
    private func making<T: FixedWidthInteger & SignedInteger>(_ call: () -> T) throws -> T {
        let first = call()
        if first != -1 { return first }
        guard errno == EEXIST else {
            throw BerthError(Errno(rawValue: errno), "unpack a layer: make '\(path.text)'")
        }
        try clear()
        return try attempt("make") { () throws(Errno) -> T in try retrying(call) }
    }

    /// Frees the name of the member.
    func clear() throws(BerthError) {
        cache.forget(path)
        let name = path.leafName
        try attempt("replace") { () throws(Errno) in try TreeRemoval.remove(name, in: parent.fd) }
    }

    private mutating func makeFile() throws {
        let (name, directory, mode) = (path.leafName, parent.fd, entry.mode & 0o777)
        file = try making {
            openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        }
        checksum = CRC64()
    }

    private mutating func makeDirectory() throws {
        let name = path.leafName
        var opaque = false
        if mkdirat(parent.fd, name, entry.mode & 0o777) != 0 {
            guard errno == EEXIST else {
                throw BerthError(Errno(rawValue: errno), "unpack a layer: make '\(path.text)'")
            }
            let status = try attempt("look at") { () throws(Errno) in try self.status(of: name, in: parent.fd) }
            if status.st_mode & S_IFMT != S_IFDIR {
                // A directory in the place of a whiteout hides what the layers below have there.
                opaque = form == .overlay && Self.isWhiteout(status)
                try clear()
                try attempt("make") { () throws(Errno) in try check(mkdirat(parent.fd, name, entry.mode & 0o777)) }
            }
        }
        let directory: DirectoryCache.Directory
        if let cached = cache.find(path) {
            directory = cached
        } else {
            directory = try attempt("open") { () throws(Errno) in try DirectoryCache.open(name, in: parent.fd) }
        }
        if opaque { try setOpaque(directory.fd) }
        try finishDirectory(directory)
    }

    /// Owner, attributes, mode and time of a directory that the layer names.
    private mutating func finishDirectory(_ directory: DirectoryCache.Directory) throws {
        try attempt("set the owner of") { () throws(Errno) in try check(fchown(directory.fd, entry.uid, entry.gid)) }
        try setAttributes(directory.fd)
        try attempt("set the mode of") { () throws(Errno) in try check(fchmod(directory.fd, entry.mode)) }
        directoryTimes[path] = entry.modified
        try manifest?.add(entry, path, checksum: nil)
        guard !path.isRoot else { return }
        let copy = try attempt("open") { () throws(Errno) -> OwnedFD in try directory.descriptor.duplicate() }
        cache.insert(DirectoryCache.Directory(copy, setsGroup: entry.mode & 0o2000 != 0), at: path)
    }

    private func makeHardLink() throws {
        let target = try LayerPath(entry.linkName)
        guard target != path, !target.isRoot else {
            throw BerthError(.invalidArgument, "unpack a layer: hard link '\(path.text)' to itself or to the root")
        }
        guard let from = try existingDirectory(target.parent) else { throw missing(target) }
        let (old, new, directory) = (target.leafName, path.leafName, parent.fd)
        do {
            _ = try making { linkat(from.fd, old, directory, new, 0) }
        } catch let error as BerthError where error.code == .notFound {
            throw missing(target)
        }
        try manifest?.add(entry, path, checksum: nil)
    }

    private func missing(_ target: LayerPath) -> BerthError {
        BerthError(
            .invalidArgument,
            "unpack a layer: hard link '\(path.text)' to '\(target.text)', which the layer does not have")
    }

    private mutating func makeSpecial() throws {
        let (name, directory, entry) = (path.leafName, parent.fd, entry)
        switch entry.kind {
        case .symlink:
            guard !entry.linkName.isEmpty, entry.linkName.count <= LayerPath.maxLength else {
                throw BerthError(
                    .invalidArgument, "unpack a layer: link '\(path.text)' has an empty or too long target")
            }
            let target = entry.linkName.map { CChar(bitPattern: $0) } + [0]
            _ = try making { symlinkat(target, directory, name) }
        default:
            let type: mode_t = entry.kind == .fifo ? S_IFIFO : entry.kind == .characterDevice ? S_IFCHR : S_IFBLK
            _ = try making { () -> Int32 in
                let result = berth_make_node(
                    directory, name, type | (entry.mode & 0o7777), entry.deviceMajor, entry.deviceMinor)
                if result < 0 { errno = -result }
                return result < 0 ? -1 : 0
            }
        }
        if entry.uid != 0 || entry.gid != 0 || parent.setsGroup {
            try attempt("set the owner of") { () throws(Errno) in
                try check(fchownat(directory, name, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW))
            }
        }
        try setAttributesByName(name)
        var times = self.times
        try attempt("set the times of") { () throws(Errno) in
            try check(utimensat(directory, name, &times, AT_SYMLINK_NOFOLLOW))
        }
        try manifest?.add(entry, path, checksum: nil)
    }

    private func setOwner(_ fd: Int32) throws {
        guard entry.uid != 0 || entry.gid != 0 || parent.setsGroup else { return }
        try attempt("set the owner of") { () throws(Errno) in try check(fchown(fd, entry.uid, entry.gid)) }
    }

    /// What overlayfs itself keeps in attributes must not come from a layer: it could name files of other layers.
    private static func isReserved(_ name: [UInt8]) -> Bool {
        name.starts(with: "trusted.overlay.".utf8) || name.starts(with: "user.overlay.".utf8)
    }

    private mutating func setAttributes(_ fd: Int32) throws {
        for attribute in entry.attributes where !Self.isReserved(attribute.name) {
            let name = attribute.name.map { CChar(bitPattern: $0) } + [0]
            try note(attribute, berth_set_xattr(fd, name, attribute.value, attribute.value.count))
        }
    }

    /// Attributes of what cannot be opened, through the thread's own working directory.
    private mutating func setAttributesByName(_ file: [CChar]) throws {
        guard !entry.attributes.isEmpty else { return }
        try attempt("enter the directory of") { () throws(Errno) in try check(fchdir(parent.fd)) }
        for attribute in entry.attributes where !Self.isReserved(attribute.name) {
            let name = attribute.name.map { CChar(bitPattern: $0) } + [0]
            try note(attribute, berth_set_xattr_of_name(file, name, attribute.value, attribute.value.count))
        }
    }

    private mutating func note(_ attribute: TarEntry.Attribute, _ result: Int32) throws {
        if result == -ENOTSUP {
            skippedAttributes += 1
        } else if result < 0 {
            let name = String(decoding: attribute.name.prefix(100), as: UTF8.self)
            throw BerthError(Errno(rawValue: -result), "unpack a layer: set \(name) of '\(path.text)'")
        }
    }

    func status(of name: [CChar], in directory: Int32) throws(Errno) -> stat {
        var status = stat()
        try check(fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW))
        return status
    }
}
