internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import SystemPackage

/// `start`: makes a shim serve, or finds the one that serves the container's pod already, and prints its address.
struct StartCommand {
    /// Annotations that group containers into one shim; the first that is there counts.
    static let groupAnnotations = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"]

    private let arguments: ShimArguments
    private let bundle: String

    init(_ arguments: ShimArguments) throws(BerthError) {
        self.arguments = arguments
        bundle = try ShimProgram.bundle(arguments)
    }

    /// The exit status; the server's child returns from here when it is done.
    func run() throws(BerthError) -> Int32 {
        let group = StartCommand.group(of: bundle) ?? arguments.id
        let socket = ShimSocket.wanted(arguments, group: group)
        if group != arguments.id, socket.isServed { return try tell(socket) }
        let initPath = try ShimProgram.initPath()
        let listener: OwnedFD
        do throws(BerthError) { listener = try socket.listen() } catch {
            // Two containers of one pod at once: the other was first.
            guard error.code == .alreadyExists else { throw error }
            return try tell(socket)
        }
        let child = try attempting("fork the shim") { () throws(Errno) in try DaemonProcess.detach() }
        if let child {
            record(child)
            return try tell(socket)
        }
        serve(listener, socket, initPath)
        return 0
    }

    /// The group that the container's specification names.
    static func group(of bundle: String) -> String? {
        guard let json = try? Files.read(bundle + "/config.json") else { return nil }
        let found = AnnotationScanner.find(groupAnnotations, in: json)
        return groupAnnotations.lazy.compactMap { found[$0] }.first { !$0.isEmpty }
    }

    /// For people, and for daemons that look after a crash.
    private func record(_ child: Int32) {
        try? Files.replace(bundle + "/shim.pid", with: Array(String(child).utf8), mode: 0o600)
    }

    /// The address on standard output, and in the bundle for daemons that come back.
    private func tell(_ socket: ShimSocket) throws(BerthError) -> Int32 {
        try attempting("write '\(bundle)/address'") { () throws(Errno) in
            try Files.replace(bundle + "/address", with: Array(socket.address.utf8), mode: 0o600)
        }
        if (Int(ShimProgram.variable("MAX_SHIM_VERSION")) ?? 2) >= 3 {
            ShimProgram.say("{\"version\":3,\"address\":\"\(socket.address)\",\"protocol\":\"ttrpc\"}")
        } else {
            ShimProgram.say(socket.address)
        }
        return 0
    }

    /// The server, in the forked child.
    private func serve(_ listener: consuming OwnedFD, _ socket: ShimSocket, _ initPath: String) {
        DaemonProcess.setName("berth-shim")
        let context = ShimContext(
            namespace: arguments.namespace, id: arguments.id, bundle: bundle, socketPath: socket.path,
            eventsAddress: ShimProgram.variable("TTRPC_ADDRESS"), grpcAddress: arguments.address,
            publisher: arguments.publisher, initPath: initPath, cacheRoot: ShimSocket.folder + "/cache")
        do {
            // The daemon reads our output until its end: it must not be held.
            _ = chdir("/")
            try DaemonProcess.becomeSubreaper()
            let shim = try Shim(context, listener: listener)
            shim.log.write(.info, "shim of '\(context.namespace)/\(context.id)' serves")
            try shim.run()
        } catch {
            ShimProgram.complain("\(error)")
            unlink(socket.path)
        }
    }
}
