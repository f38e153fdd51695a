package import BerthBase
package import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Puts a container's root together as a mount that is attached nowhere.
enum RootfsMount {
    static func make(_ source: RootfsSource) throws(BerthError) -> OwnedFD {
        switch source {
        case .path(let path):
            return try attempting("open rootfs '\(path)'") { () throws(Errno) in
                let root = try Files.open(path.string, Files.pathOnly | O_DIRECTORY)
                return try Mounts.clone("", at: root.rawValue, recursive: true)
            }
        case .mounts(let mounts):
            guard mounts.count == 1, let mount = mounts.first else {
                throw BerthError(
                    .unimplemented, "a root file system of \(mounts.count) mounts; give one, or a directory")
            }
            return try make(mount)
        }
    }

    fileprivate static func make(_ mount: OCIMount) throws(BerthError) -> OwnedFD {
        let options = MountOptions(mount.options ?? [])
        if options.bind || mount.type == "bind" { return try bind(mount, options) }
        let type = mount.type ?? ""
        do {
            let context = try FileSystemContext(type)
            do {
                if let source = mount.source, type != "overlay" { try context.set("source", source) }
                for option in options.data { try set(option, of: type, in: context) }
                return try context.mount(options.set)
            } catch {
                let words = context.complaint().map { " (\($0))" } ?? ""
                throw BerthError(error, "assemble the \(type) root file system\(words)")
            }
        } catch let error as BerthError {
            throw error
        } catch {
            throw BerthError(.failedPrecondition, "assemble the \(type) root file system: \(error)")
        }
    }

    private static func bind(_ mount: OCIMount, _ options: MountOptions) throws(BerthError) -> OwnedFD {
        try attempting("bind rootfs '\(mount.source ?? "")'") { () throws(Errno) in
            let clone = try Mounts.clone(mount.source ?? "/", recursive: options.recursive)
            if !options.set.isEmpty { try Mounts.setAttributes(clone.rawValue, set: options.set, recursive: false) }
            return clone
        }
    }

    /// One option; an overlay's lower layers go one by one, as one string of many would be cut off at a page.
    private static func set(
        _ option: String, of type: String, in context: borrowing FileSystemContext
    ) throws(Errno) {
        guard let equals = option.firstIndex(of: "=") else { return try context.set(option) }
        let key = String(option[..<equals]), value = String(option[option.index(after: equals)...])
        guard type == "overlay", key == "lowerdir" else { return try context.set(key, value) }
        let layers = OverlayLayers.split(value)
        for layer in layers {
            do { try context.set("lowerdir+", layer) } catch {
                // Before Linux 6.8: all in one string, which a few layers fit into.
                guard error == .invalidArgument, layer == layers.first else { throw error }
                return try context.set(key, value)
            }
        }
    }
}

/// Mounts of a root file system that are to be seen on the host.
package enum RootfsMounts {
    /// Puts one mount on a directory. May block.
    package static func attach(_ mount: OCIMount, at path: String) throws(BerthError) {
        let made = try RootfsMount.make(mount)
        try attempting("mount on '\(path)'") { () throws(Errno) in try Mounts.attach(made.rawValue, to: path) }
    }
}

/// Splits an overlay's `lowerdir`: colons separate, a backslash takes the next character as it is.
enum OverlayLayers {
    static func split(_ value: String) -> [String] {
        var layers: [String] = [""]
        var escaped = false
        for character in value {
            if escaped || (character != ":" && character != "\\") {
                layers[layers.count - 1].append(character)
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else {
                layers.append("")
            }
        }
        return layers.filter { !$0.isEmpty }
    }
}
