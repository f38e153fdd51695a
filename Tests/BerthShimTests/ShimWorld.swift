import BerthBase
import BerthOCI
import BerthShimAPI
import BerthSystem
import BerthTTRPC
import Glibc
import Synchronization
import SystemPackage
import Testing

/// A folder with bundles of busybox and the shims started in them; everything is gone at the end.
final class ShimWorld: Sendable {
    let folder: String
    private static let counter = Atomic<Int>(0)
    private let bundles = Mutex<[String]>([])

    static let initPath: String = {
        let path = "/tmp/shim-test-init.\(getpid())"
        let package = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        let command = ChildProcess.Command(
            package.appending("scripts/build-init").string, [path], environment: ["PATH=/usr/bin:/bin"],
            deadline: .seconds(60))
        let outcome = try? ChildProcess.run(command)
        precondition(outcome?.status == 0, "build-init failed")
        atexit { unlink("/tmp/shim-test-init.\(getpid())") }
        return path
    }()

    /// The shim beside the tests' own program.
    static let program: String = {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let own = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = own.contains("xctest") ? own : CommandLine.arguments[0]
        return FilePath(folder).removingLastComponent().appending("containerd-shim-berth-v1").string
    }()

    init() throws {
        let number = ShimWorld.counter.add(1, ordering: .relaxed).newValue
        folder = "/tmp/shim-test-\(getpid())-\(number)"
        try Files.makeDirectories(folder + "/logs", mode: 0o755)
    }

    deinit {
        for id in bundles.withLock({ $0 }) { _ = try? run("delete", id) }
        _ = try? ChildProcess.run(ChildProcess.Command("/bin/rm", ["-rf", folder], deadline: .seconds(20)))
    }

    func bundle(_ id: String) -> String { folder + "/" + id }

    /// A name for the container of this world, also of its cgroup.
    var id: String { "st-" + (folder.split(separator: "/").last.map(String.init) ?? "").dropFirst(10) }

    /// Makes a bundle; `script` is what its container runs. With `rootfs` it shares another's.
    func make(
        _ id: String, _ script: String = "sleep 1000", rootfs: String? = nil,
        _ change: (inout OCISpec) -> Void = { _ in }
    ) throws {
        if rootfs == nil { try makeRootfs(bundle(id) + "/rootfs/bin") }
        try Files.makeDirectories(bundle(id), mode: 0o755)
        var spec = OCISpec.example()
        spec.process?.terminal = false
        spec.process?.args = ["sh", "-c", script]
        spec.linux?.cgroupsPath = "/" + id
        if let rootfs { spec.root = OCIRoot(path: rootfs) }
        change(&spec)
        try Files.replace(bundle(id) + "/config.json", with: try spec.json(), mode: 0o600)
        bundles.withLock { $0.append(id) }
    }

    private func makeRootfs(_ bin: String) throws {
        try Files.makeDirectories(bin, mode: 0o755)
        try Files.replace(bin + "/busybox", with: try Files.read("/bin/busybox"), mode: 0o755)
        for name in [
            "sh", "cat", "sleep", "true", "echo", "setsid", "stty", "tty", "seq", "hostname", "readlink", "kill", "id",
            "yes",
        ] { symlink("busybox", bin + "/" + name) }
    }

    /// Runs a verb of the shim; its standard output.
    func run(_ verb: String, _ id: String, environment: [String] = []) throws -> [UInt8] {
        var command = ChildProcess.Command(
            ShimWorld.program,
            ["-namespace", "test", "-address", folder, "-publish-binary", "", "-id", id, "-bundle", bundle(id), verb],
            environment: ["BERTH_INIT=\(ShimWorld.initPath)", "PATH=/usr/bin:/bin", "MAX_SHIM_VERSION=3"] + environment,
            deadline: .seconds(20))
        command.folder = bundle(id)
        let outcome = try ChildProcess.run(command)
        guard outcome.status == 0 else {
            throw BerthError(
                .internal, "\(verb): \(outcome.status): \(String(decoding: outcome.errors, as: UTF8.self))")
        }
        return outcome.output
    }

    /// Starts a shim for a bundle and connects.
    func start(_ id: String, environment: [String] = []) throws -> ShimConnection {
        let answer = try JSONValue(parsing: try run("start", id, environment: environment))
        #expect(answer["version"]?.integer == 3 && answer["protocol"]?.string == "ttrpc")
        return try ShimConnection(address: answer["address"]?.string ?? "")
    }

    /// The request that creates a bundle's task.
    func creation(_ id: String) -> CreateTaskRequest {
        var request = CreateTaskRequest()
        request.id = id
        request.bundle = bundle(id)
        return request
    }

    /// Creates and starts a task with its own shim.
    func launch(
        _ script: String, _ change: (inout CreateTaskRequest) -> Void = { _ in },
        spec: (inout OCISpec) -> Void = { _ in }
    ) throws -> ShimConnection {
        try make(id, script, spec)
        let shim = try start(id)
        var request = creation(id)
        change(&request)
        _ = try shim.task("Create", request, CreateTaskResponse.self)
        _ = try shim.task("Start", StartRequest(id), StartResponse.self)
        return shim
    }

    /// Deletes the task and shuts the shim down, after which nothing may be left.
    func end(_ shim: ShimConnection) throws {
        _ = try? shim.task("Kill", KillRequest(id, 9, all: true), WireEmpty.self)
        _ = try shim.task("Wait", WaitRequest(id), WaitResponse.self)
        _ = try shim.task("Delete", DeleteRequest(id), DeleteResponse.self)
        _ = try shim.task("Shutdown", ShutdownRequest(), WireEmpty.self)
        try expectNothingLeft(shim)
    }

    func expectNothingLeft(_ shim: ShimConnection) throws {
        for _ in 0..<200 where shim.isAlive { usleep(10_000) }
        #expect(!shim.isAlive)
        #expect(access(shim.path, F_OK) != 0)
        #expect(!cgroupExists(id))
        #expect(try Files.names(in: bundle(id) + "/runtime") == [])
        #expect(try !MountInfo.current().contains { $0.mountPoint.hasPrefix(folder) })
    }

    func cgroupExists(_ id: String) -> Bool {
        (try? CgroupHost.current()).map { Cgroup(host: $0, path: "/" + id).exists } ?? false
    }

    /// A file's text once it has at least as many lines, or what there is after five seconds.
    func text(_ path: String, lines: Int) throws -> [String] {
        for _ in 0..<500 {
            let text = (try? String(decoding: Files.read(path), as: UTF8.self)) ?? ""
            let found = text.split(separator: "\n").map(String.init)
            if found.count >= lines { return found }
            usleep(10_000)
        }
        return ((try? String(decoding: Files.read(path), as: UTF8.self)) ?? "").split(separator: "\n").map(String.init)
    }
}

/// A client that waits for each answer; one thread uses it at a time.
final class ShimConnection {
    let path: String
    private let socket: OwnedFD
    private var decoder = FrameDecoder()
    private var stream: UInt32 = 1
    /// The longest wait for an answer, in milliseconds.
    var patience: Int32 = 15_000

    init(address: String) throws {
        path = String(address.dropFirst(7))
        socket = try Messages.connectStream(to: path)
        let connected: ConnectResponse = try Self.call(socket.rawValue, &decoder, 1)
        stream = 3
        shimPID = Int32(connected.shimPid)
    }

    let shimPID: Int32
    var isAlive: Bool { (try? Files.text("/proc/\(shimPID)/stat"))?.contains(") Z ") == false }

    private static func call(_ socket: Int32, _ decoder: inout FrameDecoder, _ stream: UInt32) throws -> ConnectResponse
    {
        let call = TTRPCRequest(service: TaskService.v3, method: "Connect", payload: [])
        try Files.write(Frame(stream: stream, kind: .request, data: call.encoded()).encoded() ?? [], to: socket)
        while true {
            if case .frame(let frame)? = decoder.next() {
                return try ConnectResponse(decoding: try TTRPCResponse(decoding: frame.data).payload)
            }
            guard let bytes = try LocalSocket.receive(socket, limit: 4096), !bytes.isEmpty else {
                throw BerthError(.unavailable, "the shim hung up")
            }
            decoder.append(bytes)
        }
    }

    func task<Answer: WireMessage>(_ method: String, _ request: some WireMessage, _ type: Answer.Type) throws -> Answer
    {
        try call(TaskService.v2, method, request, type)
    }

    /// Calls and waits; data frames before the answer go to `onData`.
    func call<Answer: WireMessage>(
        _ service: String, _ method: String, _ request: some WireMessage, _ type: Answer.Type,
        onData: ([UInt8]) throws -> Void = { _ in }
    ) throws -> Answer {
        let own = send(service, method, request)
        while true {
            let frame = try receive()
            guard frame.stream == own else { continue }
            if frame.kind == .data {
                try onData(frame.data)
                continue
            }
            let response = try TTRPCResponse(decoding: frame.data)
            if let error = response.status?.error { throw error }
            return try Answer(decoding: response.payload)
        }
    }

    /// Sends a request and does not wait.
    @discardableResult
    func send(_ service: String, _ method: String, _ request: some WireMessage) -> UInt32 {
        defer { stream += 2 }
        let call = TTRPCRequest(service: service, method: method, payload: request.encoded())
        try? Files.write(
            Frame(stream: stream, kind: .request, data: call.encoded()).encoded() ?? [], to: socket.rawValue)
        return stream
    }

    private func receive() throws -> Frame {
        while true {
            if case .frame(let frame)? = decoder.next() { return frame }
            guard try PidFD.ended(socket.rawValue, within: patience) else {
                throw BerthError(.deadlineExceeded, "the shim does not answer")
            }
            guard let bytes = try LocalSocket.receive(socket.rawValue, limit: 65536), !bytes.isEmpty else {
                throw BerthError(.unavailable, "the shim hung up")
            }
            decoder.append(bytes)
        }
    }
}

extension StartRequest {
    init(_ id: String, exec: String = "") {
        self.init()
        (self.id, execID) = (id, exec)
    }
}
extension WaitRequest {
    init(_ id: String, exec: String = "") {
        self.init()
        (self.id, execID) = (id, exec)
    }
}
extension DeleteRequest {
    init(_ id: String, exec: String = "") {
        self.init()
        (self.id, execID) = (id, exec)
    }
}
extension StateRequest {
    init(_ id: String, exec: String = "") {
        self.init()
        (self.id, execID) = (id, exec)
    }
}
extension KillRequest {
    init(_ id: String, _ signal: UInt32, all: Bool = false) {
        self.init()
        (self.id, self.signal, self.all) = (id, signal, all)
    }
}
