internal import BerthSystem

/// The options of a mount, sorted by what becomes of them.
struct MountOptions {
    var bind = false
    var recursive = false
    var set: Mounts.Attributes = []
    var clear: Mounts.Attributes = []
    var recursiveSet: Mounts.Attributes = []
    var recursiveClear: Mounts.Attributes = []
    var propagation: Mounts.Propagation?
    var idmap = false
    var idmapRecursive = false
    var copyUp = false
    /// For the file system itself, as `key=value` or `key`.
    var data: [String] = []

    init(_ options: [String]) {
        for option in options { take(option) }
    }

    private mutating func take(_ option: String) {
        switch option {
        case "bind": bind = true
        case "rbind": (bind, recursive) = (true, true)
        case "defaults", "async", "nomand", "loud", "noiversion": break
        case "private", "rprivate": propagation = .private
        case "shared", "rshared": propagation = .shared
        case "slave", "rslave": propagation = .slave
        case "unbindable", "runbindable": propagation = .unbindable
        case "idmap": idmap = true
        case "ridmap": (idmap, idmapRecursive) = (true, true)
        case "tmpcopyup": copyUp = true
        default:
            if let known = MountOptions.attributes[option] {
                set.formUnion(known.set)
                set.subtract(known.clear)
                clear.formUnion(known.clear)
            } else if option.first == "r", let known = MountOptions.attributes[String(option.dropFirst())] {
                recursiveSet.formUnion(known.set)
                recursiveClear.formUnion(known.clear)
            } else {
                data.append(option)
            }
        }
    }

    /// Every option with a meaning of its own, sorted.
    static var known: [String] {
        let plain = [
            "bind", "rbind", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable",
            "idmap", "ridmap", "defaults",
        ]
        return (plain + attributes.keys + attributes.keys.map { "r" + $0 }).sorted()
    }

    private struct Change {
        var set: Mounts.Attributes = []
        var clear: Mounts.Attributes = []
    }

    private static let attributes: [String: Change] = [
        "ro": Change(set: .readOnly), "rw": Change(clear: .readOnly),
        "nosuid": Change(set: .noSuid), "suid": Change(clear: .noSuid),
        "nodev": Change(set: .noDev), "dev": Change(clear: .noDev),
        "noexec": Change(set: .noExec), "exec": Change(clear: .noExec),
        "nosymfollow": Change(set: .noSymlinkFollow), "symfollow": Change(clear: .noSymlinkFollow),
        "nodiratime": Change(set: .noDirectoryAccessTime), "diratime": Change(clear: .noDirectoryAccessTime),
        "noatime": Change(set: .noAccessTime, clear: .accessTimeMask),
        "atime": Change(clear: .accessTimeMask),
        "relatime": Change(clear: .accessTimeMask), "norelatime": Change(clear: .accessTimeMask),
        "strictatime": Change(set: .strictAccessTime, clear: .accessTimeMask),
        "nostrictatime": Change(clear: .accessTimeMask),
    ]
}
