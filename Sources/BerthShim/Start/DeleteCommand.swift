internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// `delete`: after a shim died, kills and removes what it left of one bundle, and prints how the container ended.
struct DeleteCommand {
    private let arguments: ShimArguments
    private let bundle: String

    init(_ arguments: ShimArguments) throws(BerthError) {
        self.arguments = arguments
        bundle = try ShimProgram.bundle(arguments)
    }

    func run() throws(BerthError) -> Int32 {
        let exit = recordedExit()
        let pid = try removeContainer()
        RootfsPlan.unmount(bundle + "/rootfs")
        try removeSandbox()
        removeSocket()
        var answer = DeleteResponse()
        answer.pid = exit?.pid ?? UInt32(pid ?? 0)
        answer.exitStatus = exit?.exitStatus ?? 137
        answer.exitedAt = exit?.exitedAt ?? .now()
        ShimProgram.say(answer.encoded())
        return 0
    }

    /// The exit that the shim wrote down before it died.
    private func recordedExit() -> ShimExit? {
        let bytes = (try? Files.read("\(bundle)/\(ExitRecord.file)")) ?? []
        return ExitRecord.parse(bytes).last { $0.containerID == arguments.id && $0.execID.isEmpty }
    }

    /// Its pid; nil if there is none.
    private func removeContainer() throws(BerthError) -> Int32? {
        let environment = RuntimeEnvironment(
            stateRoot: FilePath(bundle + "/runtime"), initPath: FilePath("/nonexistent"))
        do throws(BerthError) {
            let container = try Container.load(arguments.id, in: environment)
            let pid = container.pid
            try container.delete(force: true)
            return pid
        } catch {
            guard error.code == .notFound else { throw error }
            // A creation that was cut off leaves a directory without a record.
            try Container.forget(arguments.id, in: environment)
            return nil
        }
    }

    private func removeSandbox() throws(BerthError) {
        let path = "\(bundle)/\(SandboxRecord.file)"
        guard let bytes = try? Files.read(path) else { return }
        let record = try OCIJSON.decode(SandboxRecord.self, bytes, as: SandboxRecord.file)
        try record.endReaper()
        if let cgroup = record.cgroupPath { try Pod.removeCgroup(cgroup) }
        try attempting("remove '\(path)'") { () throws(Errno) in try Files.remove(path) }
    }

    /// The socket, unless a living shim is behind it: the pod's other containers may still have theirs.
    private func removeSocket() {
        let group = StartCommand.group(of: bundle) ?? arguments.id
        let socket = ShimSocket.recorded(in: bundle) ?? ShimSocket.wanted(arguments, group: group)
        if !socket.isServed { try? Files.remove(socket.path) }
    }
}
