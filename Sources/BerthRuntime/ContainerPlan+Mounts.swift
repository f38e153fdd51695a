internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension ContainerPlan {
    func addMounts(to plan: inout InitPlan) throws(BerthError) {
        for mount in request.spec.mounts ?? [] {
            let options = MountOptions(mount.options ?? [])
            if options.copyUp {
                throw BerthError(.unimplemented, "mount '\(mount.destination)': option 'tmpcopyup' is not supported")
            }
            if options.bind || mount.type == "bind" {
                try addBind(mount, options, to: &plan)
            } else if mount.type == "cgroup" || mount.type == "cgroup2" {
                try addCgroupMount(mount, options, to: &plan)
            } else {
                try addFileSystem(mount, options, to: &plan)
            }
        }
    }

    /// Read-only mounts that later steps still write to become so after them.
    var lateReadOnly: [String] {
        (request.spec.mounts ?? []).filter { mount in
            let path = SpecCheck.normalized(mount.destination)
            let late = path == "/dev" && mount.type == "tmpfs" || mount.type == "cgroup" && cgroup?.host.isV2 == false
            return late && MountOptions(mount.options ?? []).set.contains(.readOnly)
        }.map { SpecCheck.normalized($0.destination) }
    }

    /// Below procfs, sysfs and /dev no link is followed: what comes there is named by the kernel or by us.
    private func links(_ destination: String, type: String?) -> InitPlan.Place {
        let path = SpecCheck.normalized(destination)
        let strict = path == "/proc" || path == "/sys" || path == "/dev" || type == "proc" || type == "sysfs"
        return strict ? .noSymlinks : []
    }

    private func addFileSystem(
        _ mount: OCIMount, _ options: MountOptions, to plan: inout InitPlan
    ) throws(BerthError) {
        guard let type = mount.type, !type.isEmpty else {
            throw BerthError(.invalidArgument, "mount '\(mount.destination)' has neither a type nor 'bind'")
        }
        if options.idmap || mount.uidMappings != nil {
            throw BerthError(.unimplemented, "mount '\(mount.destination)': id maps are for bind mounts only")
        }
        if options.propagation == .shared || options.propagation == .unbindable {
            throw BerthError(.unimplemented, "mount '\(mount.destination)': propagation of a new file system")
        }
        if !options.recursiveSet.isEmpty || !options.recursiveClear.isEmpty {
            throw BerthError(
                .invalidArgument, "mount '\(mount.destination)': recursive attributes of a new file system")
        }
        var place: InitPlan.Place = [.directory, links(mount.destination, type: type)]
        if type == "devpts" { place.insert(.devpts) }
        var attributes = options.set
        if SpecCheck.normalized(mount.destination) == "/dev", type == "tmpfs" { attributes.remove(.readOnly) }
        var data = options.data
        if let source = mount.source, !source.isEmpty { data.insert("source=\(source)", at: 0) }
        try ContainerPlan.add(
            type, data, at: mount.destination, attributes, place, to: &plan)
    }

    /// One `mountFS` step; options go as flags or strings.
    static func add(
        _ type: String, _ data: [String], at path: String, _ attributes: Mounts.Attributes, _ place: InitPlan.Place,
        to plan: inout InitPlan
    ) throws(BerthError) {
        var words = [type]
        for option in data {
            if let equals = option.firstIndex(of: "=") {
                words.append("s" + option[..<equals])
                words.append(String(option[option.index(after: equals)...]))
            } else {
                words.append("f" + option)
            }
        }
        var bytes = try [UInt8].strings(words, "mount option")
        bytes.removeLast()
        try plan.add(
            .mountFS, fd: -1, a: attributes.rawValue, b: UInt64(data.count), c: place.rawValue, Array(path.utf8),
            bytes)
    }

    private func addBind(
        _ mount: OCIMount, _ options: MountOptions, to plan: inout InitPlan
    ) throws(BerthError) {
        guard let name = mount.source, !name.isEmpty else {
            throw BerthError(.invalidArgument, "bind mount '\(mount.destination)' has no source")
        }
        guard options.data.isEmpty else {
            throw BerthError(.invalidArgument, "bind mount '\(mount.destination)': unknown options \(options.data)")
        }
        let source = name.hasPrefix("/") ? name : request.bundle.string + "/" + name
        var isDirectory = true
        let clone = try attempting("bind '\(source)' for '\(mount.destination)'") { () throws(Errno) in
            let clone = try Mounts.clone(source, recursive: options.recursive)
            isDirectory = try Files.status(of: clone.rawValue).isDirectory
            try change(clone.rawValue, options)
            return clone
        }
        if SpecCheck.normalized(mount.destination) == "/proc" { try checkProc(clone.rawValue) }
        if options.idmap || mount.uidMappings != nil { try idmap(clone.rawValue, mount, options) }
        let inherited = try rootPropagation()
        let propagation = options.propagation ?? inherited
        try attempting("set the propagation of '\(source)'") { () throws(Errno) in
            // The clone shares what its source shares; only "shared" itself is nothing to change.
            if propagation != .shared || options.propagation == .shared {
                try Mounts.setAttributes(clone.rawValue, propagation: propagation, recursive: true)
            }
        }
        let kind: InitPlan.Place = isDirectory ? .directory : .file
        try plan.add(
            .mountFD, owned: clone, mount.destination,
            c: kind.union(links(mount.destination, type: nil)).rawValue)
    }

    private func change(_ mount: Int32, _ options: MountOptions) throws(Errno) {
        if !options.set.isEmpty || !options.clear.isEmpty {
            try Mounts.setAttributes(mount, set: options.set, clear: options.clear, recursive: false)
        }
        if !options.recursiveSet.isEmpty || !options.recursiveClear.isEmpty {
            try Mounts.setAttributes(
                mount, set: options.recursiveSet, clear: options.recursiveClear, recursive: true)
        }
    }

    private func checkProc(_ mount: Int32) throws(BerthError) {
        let magic = try attempting("look at the bind for '/proc'") { () throws(Errno) in try Files.fileSystem(of: mount)
        }
        guard magic == 0x9fa0 else { throw BerthError(.invalidArgument, "the bind mount on '/proc' is not procfs") }
    }

    private func idmap(_ mount: Int32, _ request: OCIMount, _ options: MountOptions) throws(BerthError) {
        let uids = request.uidMappings ?? linux.uidMappings ?? []
        let gids = request.gidMappings ?? linux.gidMappings ?? []
        guard !uids.isEmpty, !gids.isEmpty else {
            throw BerthError(
                .invalidArgument, "mount '\(request.destination)': an id map needs uidMappings and gidMappings")
        }
        let user = try UserNamespaces.make(uids: uids, gids: gids)
        try attempting("map the ids of mount '\(request.destination)'") { () throws(Errno) in
            try Mounts.setAttributes(mount, userNamespace: user.rawValue, recursive: options.idmapRecursive)
        }
    }

    // MARK: cgroups

    /// What the container sees of its cgroup. Without a cgroup namespace it is a read-only bind of its own part.
    private func addCgroupMount(
        _ mount: OCIMount, _ options: MountOptions, to plan: inout InitPlan
    ) throws(BerthError) {
        guard let cgroup else { return }
        let attributes = options.set.union([.noSuid, .noDev, .noExec])
        if cgroup.host.isV2 {
            if makesCgroupNamespace {
                return try ContainerPlan.add("cgroup2", [], at: mount.destination, attributes, .directory, to: &plan)
            }
            return try addCgroupBind(cgroup.directories[0], at: mount.destination, to: &plan)
        }
        try ContainerPlan.add(
            "tmpfs", ["mode=755", "source=cgroup"], at: mount.destination, [.noSuid, .noDev, .noExec], .directory,
            to: &plan)
        for hierarchy in cgroup.host.hierarchies {
            let name = hierarchy.name.hasPrefix("name=") ? String(hierarchy.name.dropFirst(5)) : hierarchy.name
            let target = mount.destination + "/" + name
            if makesCgroupNamespace {
                let data = hierarchy.name.hasPrefix("name=") ? ["none", "name=\(name)"] : hierarchy.controllers
                try ContainerPlan.add("cgroup", data, at: target, attributes, .directory, to: &plan)
            } else {
                try addCgroupBind(hierarchy.mountPoint + cgroup.path, at: target, to: &plan)
            }
            for controller in hierarchy.controllers where hierarchy.controllers.count > 1 {
                try addLink(mount.destination + "/" + controller, to: name, in: &plan)
            }
        }
    }

    private func addCgroupBind(
        _ source: String, at target: String, to plan: inout InitPlan
    ) throws(BerthError) {
        let clone = try attempting("bind the cgroup '\(source)'") { () throws(Errno) in
            let clone = try Mounts.clone(source, recursive: false)
            try Mounts.setAttributes(
                clone.rawValue, set: [.readOnly, .noSuid, .noDev, .noExec], propagation: .private, recursive: false)
            return clone
        }
        try plan.add(.mountFD, owned: clone, target, c: InitPlan.Place.directory.rawValue)
    }

    func addLink(_ path: String, to target: String, in plan: inout InitPlan) throws(BerthError) {
        try plan.add(.symlink, fd: -1, a: 0, b: 0, c: 0, Array(path.utf8), Array(target.utf8))
    }
}
