import BerthBase
import BerthOCI
import BerthShimAPI
import BerthSystem
import Glibc
import Testing

@testable import BerthShim

/// Shims as processes of their own, driven over their sockets.
@Suite(.enabled(if: geteuid() == 0, "containers need root"), .serialized)
struct ShimTests {
    @Test func `a task lives from Create to Shutdown and leaves nothing`() throws {
        let world = try ShimWorld()
        let shim = try world.launch("exit 7")
        let exit = try shim.task("Wait", WaitRequest(world.id), WaitResponse.self)
        #expect(exit.exitStatus == 7 && exit.exitedAt != nil)
        let state = try shim.task("State", StateRequest(world.id), StateResponse.self)
        #expect(state.status == .stopped && state.exitStatus == 7 && state.bundle == world.bundle(world.id))
        let records = ExitRecord.parse(try Files.read(world.bundle(world.id) + "/exits"))
        #expect(records.map(\.exitStatus) == [7] && records.map(\.sequence) == [1])
        try world.end(shim)
    }

    @Test func `a log is written as a kubelet reads it, reopened, and whole before the exit is told`() throws {
        let world = try ShimWorld()
        let log = world.folder + "/logs/0.log"
        let shim = try world.launch("echo one; echo two >&2; sleep 0.3; echo three; printf four; exit 0") {
            $0.stdout = "cri://" + log
            $0.stderr = "cri://" + log
        }
        #expect(
            try world.text(log, lines: 2).map { String($0.dropFirst(31)) }.sorted() == ["stderr F two", "stdout F one"])
        rename(log, log + ".1")
        var reopen = ReopenLogRequest()
        reopen.id = world.id
        _ = try shim.call(BerthShimService.name, "ReopenLog", reopen, WireEmpty.self)
        _ = try shim.task("Wait", WaitRequest(world.id), WaitResponse.self)
        #expect(try world.text(log, lines: 0).map { String($0.dropFirst(31)) } == ["stdout F three", "stdout P four"])
        try world.end(shim)
    }

    @Test func `an ExecSync answers with bounded output and status, and is killed with its descendants`() throws {
        let world = try ShimWorld()
        let shim = try world.launch("sleep 1000")
        var request = ExecSyncRequest()
        request.id = world.id
        request.limit = 10
        request.process = try OCIJSON.encode(
            OCIProcess(args: ["sh", "-c", "echo out; seq 1000 >&2; exit 5"], env: ["PATH=/bin"]))
        var output = ExecSyncOutput()
        let answer = try shim.call(BerthShimService.name, "ExecSync", request, ExecSyncResponse.self) { bytes in
            let part = try ExecSyncOutput(decoding: bytes)
            output.stdout += part.stdout
            output.stderr += part.stderr
        }
        #expect(answer.exitCode == 5 && answer.truncated)
        #expect(
            String(decoding: output.stdout, as: UTF8.self) == "out\n" && output.stderr == Array("1\n2\n3\n4\n5\n".utf8))
        request.timeoutNano = 300_000_000
        request.process = try OCIJSON.encode(
            OCIProcess(args: ["sh", "-c", "sleep 777 & sleep 778"], env: ["PATH=/bin"]))
        #expect { try shim.call(BerthShimService.name, "ExecSync", request, ExecSyncResponse.self) } throws: {
            ($0 as? BerthError)?.code == .deadlineExceeded
        }
        var pids = PidsRequest()
        pids.id = world.id
        for _ in 0..<100 where try shim.task("Pids", pids, PidsResponse.self).processes.count > 1 { usleep(10_000) }
        #expect(try shim.task("Pids", pids, PidsResponse.self).processes.count == 1)
        try world.end(shim)
    }

    @Test func `an ExecSync is answered two seconds after its exit although a child holds its output`() throws {
        let world = try ShimWorld()
        let shim = try world.launch("sleep 1000")
        var request = ExecSyncRequest()
        request.id = world.id
        request.limit = 1000
        request.process = try OCIJSON.encode(
            OCIProcess(args: ["sh", "-c", "setsid sleep 900 & echo x"], env: ["PATH=/bin"]))
        let begin = ContinuousClock.now
        let answer = try shim.call(BerthShimService.name, "ExecSync", request, ExecSyncResponse.self)
        let took = begin.duration(to: .now)
        #expect(answer.exitCode == 0 && took > .milliseconds(1900) && took < .seconds(6))
        try world.end(shim)
    }

    @Test func `execs run, are waited for and deleted; one that cannot run says why`() throws {
        let world = try ShimWorld()
        let shim = try world.launch("sleep 1000")
        func exec(_ id: String, _ args: [String]) throws {
            var request = ExecProcessRequest()
            (request.id, request.execID) = (world.id, id)
            request.spec = .process(try OCIJSON.encode(OCIProcess(args: args, env: ["PATH=/bin"])))
            _ = try shim.task("Exec", request, WireEmpty.self)
        }
        try exec("e", ["sh", "-c", "exit 4"])
        #expect { try exec("e", ["true"]) } throws: { ($0 as? BerthError)?.code == .alreadyExists }
        _ = try shim.task("Start", StartRequest(world.id, exec: "e"), StartResponse.self)
        #expect(try shim.task("Wait", WaitRequest(world.id, exec: "e"), WaitResponse.self).exitStatus == 4)
        #expect(try shim.task("Delete", DeleteRequest(world.id, exec: "e"), DeleteResponse.self).exitStatus == 4)
        #expect { try shim.task("State", StateRequest(world.id, exec: "e"), StateResponse.self) } throws: {
            ($0 as? BerthError)?.code == .notFound
        }
        try exec("n", ["/no/such"])
        #expect { try shim.task("Start", StartRequest(world.id, exec: "n"), StartResponse.self) } throws: {
            "\($0)" == "start exec 'n' of task '\(world.id)': execute '/no/such': ENOENT (stage exec)"
        }
        try world.end(shim)
    }

    @Test func `calls in the wrong state are refused by the right code`() throws {
        let world = try ShimWorld()
        let shim = try world.launch("sleep 1000")
        func code(_ body: () throws -> Void) -> BerthError.Code? {
            do { try body() } catch { return (error as? BerthError)?.code }
            return nil
        }
        #expect(
            code { _ = try shim.task("Create", world.creation(world.id), CreateTaskResponse.self) } == .alreadyExists)
        #expect(code { _ = try shim.task("Start", StartRequest(world.id), StartResponse.self) } == .failedPrecondition)
        #expect(
            code { _ = try shim.task("Delete", DeleteRequest(world.id), DeleteResponse.self) } == .failedPrecondition)
        #expect(code { _ = try shim.task("State", StateRequest("other"), StateResponse.self) } == .notFound)
        #expect(code { _ = try shim.task("Checkpoint", CheckpointTaskRequest(), WireEmpty.self) } == .unimplemented)
        #expect(code { _ = try shim.task("Nonsense", WireEmpty(), WireEmpty.self) } == .unimplemented)
        #expect(code { _ = try shim.call("no.such.Service", "X", WireEmpty(), WireEmpty.self) } == .unimplemented)
        _ = try shim.task("Kill", KillRequest(world.id, 9), WireEmpty.self)
        _ = try shim.task("Wait", WaitRequest(world.id), WaitResponse.self)
        #expect(code { _ = try shim.task("Kill", KillRequest(world.id, 9), WireEmpty.self) } == .notFound)
        try world.end(shim)
    }

    @Test func `many containers and execs in one shim leave no descriptor and take no memory`() throws {
        let world = try ShimWorld()
        let shim = try world.launch("sleep 1000")
        let log = world.folder + "/logs/many"
        func cycle(_ number: Int) throws {
            let id = "\(world.id)-\(number)"
            try world.make(id, "echo x", rootfs: world.bundle(world.id) + "/rootfs")
            var request = world.creation(id)
            if number.isMultiple(of: 2) { (request.stdout, request.stderr) = ("cri://" + log, "cri://" + log) }
            _ = try shim.task("Create", request, CreateTaskResponse.self)
            if number.isMultiple(of: 3) { _ = try shim.task("Kill", KillRequest(id, 9), WireEmpty.self) }
            if !number.isMultiple(of: 3) { _ = try shim.task("Start", StartRequest(id), StartResponse.self) }
            _ = try shim.task("Wait", WaitRequest(id), WaitResponse.self)
            _ = try shim.task("Delete", DeleteRequest(id), DeleteResponse.self)
            var exec = ExecSyncRequest()
            (exec.id, exec.limit) = (world.id, 100)
            exec.process = try OCIJSON.encode(OCIProcess(args: ["true"], env: ["PATH=/bin"]))
            _ = try shim.call(BerthShimService.name, "ExecSync", exec, ExecSyncResponse.self)
            #expect(!world.cgroupExists(id))
        }
        func memory() throws -> Int {
            usleep(300_000)
            let rollup = try Files.text("/proc/\(shim.shimPID)/smaps_rollup").split(separator: "\n")
            let line = rollup.first { $0.hasPrefix("Private_Dirty") } ?? ""
            return Int(line.split(separator: " ").dropLast().last ?? "") ?? 0
        }
        for number in 0..<10 { try cycle(number) }
        // The memory first, here and below: it waits for what the last cycle has begun to end.
        let before = try memory(), descriptors = try Files.names(in: "/proc/\(shim.shimPID)/fd").count
        for number in 10..<70 { try cycle(number) }
        let after = try memory()
        #expect(try Files.names(in: "/proc/\(shim.shimPID)/fd").count == descriptors)
        #expect(after < before + 300, "KiB of private memory: \(before), then \(after)")
        try world.end(shim)
    }

    @Test func `output goes to a file as it is, and to a logger that says it is ready`() throws {
        let world = try ShimWorld()
        let file = world.folder + "/file", logged = world.folder + "/logged", logger = world.folder + "/logger"
        let script = "#!/bin/sh\nexec 5>&-\n{ echo \"$CONTAINER_ID $1\"; cat <&3; } > \(logged)\n"
        try Files.replace(logger, with: Array(script.utf8), mode: 0o755)
        let shim = try world.launch("echo a; printf b") { $0.stdout = "file://" + file }
        _ = try shim.task("Wait", WaitRequest(world.id), WaitResponse.self)
        #expect(try Files.text(file) == "a\nb")
        try world.end(shim)
        let again = try ShimWorld()
        let other = try again.launch("echo c; echo d") { $0.stdout = "binary://\(logger)?word" }
        _ = try other.task("Wait", WaitRequest(again.id), WaitResponse.self)
        #expect(try again.text(logged, lines: 3) == ["\(again.id) word", "c", "d"])
        try again.end(other)
    }

    @Test func `after kill -9 of the shim delete removes what it left`() throws {
        let world = try ShimWorld()
        let shim = try world.launch("sleep 1000")
        let state = try shim.task("State", StateRequest(world.id), StateResponse.self)
        kill(shim.shimPID, SIGKILL)
        for _ in 0..<200 where shim.isAlive { usleep(10_000) }
        #expect(kill(Int32(state.pid), 0) == 0)
        let answer = try DeleteResponse(decoding: try world.run("delete", world.id))
        #expect(answer.pid == state.pid && answer.exitStatus == 137)
        try world.expectNothingLeft(shim)
        #expect((try? Files.text("/proc/\(state.pid)/stat"))?.contains(") S ") != true)
    }

    @Test func `memory that runs out is told with the exit`() throws {
        let world = try ShimWorld()
        let shim = try world.launch("sh -c 'x=$(yes)'; exit 9") { _ in
        } spec: { spec in
            var memory = OCIMemory()
            memory.limit = 16 << 20
            spec.linux?.resources?.memory = memory
        }
        #expect(try shim.task("Wait", WaitRequest(world.id), WaitResponse.self).exitStatus == 9)
        let exits = try shim.call(BerthShimService.name, "Exits", ShimExitsRequest(), ShimExitsResponse.self).exits
        #expect(exits.map(\.oomKilled) == [true])
        try world.end(shim)
    }

    @Test func `a terminal is a terminal, has a size and takes input`() throws {
        let world = try ShimWorld()
        let out = world.folder + "/out", input = world.folder + "/in"
        mkfifo(out, 0o600)
        mkfifo(input, 0o600)
        let reader = try Files.open(out, O_RDWR | O_NONBLOCK), writer = try Files.open(input, O_RDWR | O_NONBLOCK)
        let shim = try world.launch("read x; tty; stty size; echo got $x") {
            ($0.terminal, $0.stdin, $0.stdout) = (true, input, out)
        } spec: {
            $0.process?.terminal = true
        }
        var resize = ResizePtyRequest()
        (resize.id, resize.width, resize.height) = (world.id, 100, 33)
        _ = try shim.task("ResizePty", resize, WireEmpty.self)
        try Files.write(Array("word\n".utf8), to: writer.rawValue)
        _ = try shim.task("Wait", WaitRequest(world.id), WaitResponse.self)
        var text: [UInt8] = []
        for _ in 0..<100 where !text.ends(with: "word\r\n") {
            text += try LocalSocket.receive(reader.rawValue, limit: 4096) ?? []
            usleep(10_000)
        }
        let words = String(decoding: text, as: UTF8.self)
        #expect(words.contains("/dev/pts/0") && words.contains("33 100") && words.contains("got word"))
        try world.end(shim)
    }
}

extension [UInt8] {
    fileprivate func ends(with text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
