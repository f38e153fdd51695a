internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// Where a task's root file system comes from: the mounts its creator gave, or a directory that is complete already.
///
/// One mount is put together detached, and nothing of it is to be seen on the host. Several are stacked on the bundle's
/// `rootfs` one after the other, as their creator meant them.
struct RootfsPlan: Sendable {
    let source: RootfsSource
    /// Where mounts become visible; nil: nowhere.
    let mountPoint: String?
    private let visible: [MountMessage]

    init(_ mounts: [MountMessage], bundle: String, root: String?) throws(BerthError) {
        let path = FilePath(bundle).pushing(FilePath(root ?? "rootfs"))
        if mounts.count == 1, let only = mounts.first, only.target.isEmpty || only.target == "/" {
            source = .mounts([RootfsPlan.oci(only)])
            (mountPoint, visible) = (nil, [])
            return
        }
        source = .path(path)
        visible = mounts
        mountPoint = mounts.isEmpty ? nil : path.string
        for mount in mounts where mount.target.split(separator: "/").contains("..") {
            throw BerthError(.invalidArgument, "rootfs mount with the target '\(mount.target)'")
        }
    }

    private static func oci(_ mount: MountMessage) -> OCIMount {
        OCIMount(destination: "/", type: mount.type, source: mount.source, options: mount.options)
    }

    /// Makes the visible mounts. May block.
    func mount() throws(BerthError) {
        guard let mountPoint else { return }
        for mount in visible {
            do throws(BerthError) {
                let target = mount.target.isEmpty ? mountPoint : mountPoint + "/" + mount.target
                try RootfsMounts.attach(RootfsPlan.oci(mount), at: target)
            } catch {
                unmount()
                throw error
            }
        }
    }

    /// Takes them away again.
    func unmount() { if let mountPoint { RootfsPlan.unmount(mountPoint) } }

    /// The most mounts that are taken off one place: more were never put there.
    static let maxStacked = 256

    /// Detaches everything on a place. May block.
    static func unmount(_ mountPoint: String) {
        for _ in 0..<maxStacked { if (try? Mounts.detach(mountPoint)) == nil { return } }
    }
}
