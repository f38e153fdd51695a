internal import BerthBase
internal import BerthSystem
internal import CBerthUnpack
internal import Glibc
internal import SystemPackage

extension LayerApplier {
    /// The directory at a path, made with those above it if the layer did not name it before.
    func directory(_ wanted: LayerPath) throws -> DirectoryCache.Directory {
        if let known = cache.find(wanted) { return known }
        let above = try directory(wanted.parent)
        let name = wanted.leafName
        let opened: DirectoryCache.Directory
        do {
            opened = try DirectoryCache.open(name, in: above.fd)
        } catch Errno.noSuchFileOrDirectory {
            opened = try implied(wanted, in: above)
        } catch Errno.notDirectory, Errno.tooManySymbolicLinkLevels {
            opened = try throughLink(wanted, in: above)
        } catch {
            throw BerthError(error, "unpack a layer: open directory '\(wanted.text)'")
        }
        cache.insert(opened, at: wanted)
        return opened
    }

    /// As `directory`, but nothing is made; nil if it does not exist.
    func existingDirectory(_ wanted: LayerPath) throws -> DirectoryCache.Directory? {
        if let known = cache.find(wanted) { return known }
        guard let above = try existingDirectory(wanted.parent) else { return nil }
        do {
            return try DirectoryCache.open(wanted.leafName, in: above.fd)
        } catch Errno.notDirectory, Errno.tooManySymbolicLinkLevels {
            return try? throughLink(wanted, in: above)
        } catch {
            return nil
        }
    }

    /// A parent that is a link is followed with the layer's directory as root, by the kernel.
    ///
    /// A whiteout there means the layer wrote `.wh.d` before `d/file`: the directory then hides the one below.
    private func throughLink(
        _ wanted: LayerPath, in above: DirectoryCache.Directory
    ) throws -> DirectoryCache.Directory {
        let name = wanted.leafName
        if form == .overlay, let found = try? status(of: name, in: above.fd), Self.isWhiteout(found) {
            try attempt("replace a whiteout above") { () throws(Errno) in try check(unlinkat(above.fd, name, 0)) }
            let made = try implied(wanted, in: above)
            try setOpaque(made.fd)
            return made
        }
        do {
            // Paths are bytes; those that are no UTF-8 do not get here through a link.
            let descriptor = try Files.open(
                String(decoding: wanted.bytes, as: UTF8.self), below: cache.root.fd, O_RDONLY | O_DIRECTORY,
                resolve: [.inRoot, .noMagicLinks])
            return try DirectoryCache.adopt(descriptor)
        } catch {
            throw BerthError(
                .invalidArgument,
                "unpack a layer: '\(path.text)': '\(wanted.text)' is no directory and no link to one in the layer")
        }
    }

    /// Makes a directory that the layer uses and does not name: with the owner and mode it has in the layers below.
    private func implied(
        _ wanted: LayerPath, in above: DirectoryCache.Directory
    ) throws -> DirectoryCache.Directory {
        let name = wanted.leafName
        try attempt("make a directory above") { () throws(Errno) in try check(mkdirat(above.fd, name, 0o755)) }
        let made = try attempt("open a directory above") { () throws(Errno) in
            try DirectoryCache.open(name, in: above.fd)
        }
        let below = try lowerStatus(wanted)
        if let below {
            try attempt("set the owner above") { () throws(Errno) in
                try check(fchown(made.fd, below.st_uid, below.st_gid))
            }
            try attempt("set the mode above") { () throws(Errno) in try check(fchmod(made.fd, below.st_mode & 0o7777)) }
        } else if above.setsGroup {
            try attempt("set the owner above") { () throws(Errno) in try check(fchown(made.fd, 0, 0)) }
            try attempt("set the mode above") { () throws(Errno) in try check(fchmod(made.fd, 0o755)) }
        }
        try manifest?.addImplied(wanted, mode: below.map { $0.st_mode & 0o7777 } ?? 0o755)
        return made
    }

    /// The directory of the same path in the layers below, the topmost that has one.
    private func lowerStatus(_ wanted: LayerPath) throws -> stat? {
        for lower in lowers {
            do {
                let found = try Files.open(
                    String(decoding: wanted.bytes, as: UTF8.self), below: lower, Files.pathOnly | O_DIRECTORY,
                    resolve: [.inRoot, .noSymlinks, .noMagicLinks])
                var status = stat()
                try check(fstat(found.rawValue, &status))
                return status
            } catch Errno.noSuchFileOrDirectory {
                continue
            } catch {
                return nil
            }
        }
        return nil
    }
}

// MARK: - Whiteouts

/// Source: OCI image spec, "Representing Changes"; the kernel's overlayfs documentation, "whiteouts and opaque
/// directories".
extension LayerApplier {
    static var whiteoutPrefix: [UInt8] { Array(".wh.".utf8) }

    static func isWhiteout(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFCHR && status.st_rdev == 0 }

    func setOpaque(_ directory: Int32) throws {
        let result = berth_set_xattr(directory, "trusted.overlay.opaque", [UInt8(ascii: "y")], 1)
        guard result < 0 else { return }
        throw BerthError(Errno(rawValue: -result), "unpack a layer: make the directory of '\(path.text)' opaque")
    }

    /// The member is a whiteout: hides or removes what the layers below have.
    func whiteout() throws {
        let marker = path.leaf.dropFirst(Self.whiteoutPrefix.count)
        if marker.elementsEqual(".wh..opq".utf8) { return try opaqueWhiteout() }
        // Other names of this form are aufs' own bookkeeping.
        if marker.starts(with: Self.whiteoutPrefix) { return }
        guard !marker.isEmpty, !marker.elementsEqual(".".utf8), !marker.elementsEqual("..".utf8) else {
            throw BerthError(
                .invalidArgument, "unpack a layer: whiteout '\(path.text)' names nothing that can be hidden")
        }
        let hidden = path.sibling(marker)
        let name = hidden.leafName
        switch form {
        case .plain:
            guard !written.contains(hidden) else { return }
            if let found = try? status(of: name, in: parent.fd), found.st_mode & S_IFMT == S_IFDIR {
                // Files that this layer put below it stay.
                if written.contains(where: { $0.isWithin(hidden) }) {
                    return try removeLower(hidden, try directory(hidden))
                }
            }
            cache.forget(hidden)
            try attempt("apply") { () throws(Errno) in try TreeRemoval.remove(name, in: parent.fd) }
        case .overlay:
            let type: mode_t = S_IFCHR
            let result = berth_make_node(parent.fd, name, type, 0, 0)
            if result == -EEXIST {
                // This layer itself has the name; only a directory could let something below show through.
                guard let known = cache.find(hidden) ?? (try? DirectoryCache.open(name, in: parent.fd)) else { return }
                return try setOpaque(known.fd)
            }
            guard result < 0 else {
                try manifest?.addWhiteout(hidden)
                return
            }
            throw BerthError(Errno(rawValue: -result), "unpack a layer: make the whiteout '\(path.text)'")
        }
    }

    private func opaqueWhiteout() throws {
        switch form {
        case .overlay: try setOpaque(parent.fd)
        case .plain: try removeLower(path.parent, parent)
        }
    }

    /// Removes what this layer did not write from a directory.
    private func removeLower(_ path: LayerPath, _ directory: DirectoryCache.Directory) throws {
        let names = try attempt("list the directory of") { () throws(Errno) in try TreeRemoval.names(in: directory.fd) }
        for name in names {
            let bytes = name.dropLast().map { UInt8(bitPattern: $0) }
            let child = try LayerPath((path.isRoot ? [] : path.bytes + [UInt8(ascii: "/")]) + bytes)
            let ours = written.contains { $0.isWithin(child) }
            if !ours {
                cache.forget(child)
                try attempt("apply") { () throws(Errno) in try TreeRemoval.remove(name, in: directory.fd) }
            } else if let below = try? DirectoryCache.open(name, in: directory.fd), !written.contains(child) {
                try removeLower(child, below)
            } else if let below = try? DirectoryCache.open(name, in: directory.fd) {
                try removeLower(child, below)
            }
        }
    }
}
