import BerthBase
import BerthOCI
import BerthRuntime
import BerthSystem
import Glibc
import SystemPackage
import Testing

extension RuntimeTests { @Suite struct LifecycleTests {} }

extension RuntimeTests.LifecycleTests {
    @Test func `a container runs, tells its output and status, and leaves nothing`() throws {
        let world = try World()
        let mounts = try MountInfo.current().count
        let files = try Files.names(in: "/proc/self/fd").count
        let outcome = try world.run("echo hello; exit 7")
        #expect(outcome.output == "hello\n")
        #expect(outcome.status == 7)
        #expect(try MountInfo.current().count == mounts)
        // The copy of berth-init stays, once for all containers.
        #expect(try Files.names(in: "/proc/self/fd").count <= files + 1)
        #expect(try Cgroup(host: .current(), path: "/" + world.id).exists == false)
        #expect(try Files.names(in: world.folder + "/state").filter { $0.first != "." }.isEmpty)
    }

    @Test func `a container is created, started, paused, resumed, killed and deleted`() throws {
        let world = try World()
        let created = try world.create("sleep 1000")
        let container = created.container
        #expect(container.status == .created)
        #expect(try Container.load(world.id, in: world.environment).status == .created)
        expectFailure(is: "no error") { try container.delete() }
        _ = try PidFD.reap(created.process.pidfd.rawValue)
        expectFailure(with: "does not exist") { _ = try Container.load(world.id, in: world.environment) }

        let second = try world.create("sleep 1000")
        try second.container.start()
        #expect(second.container.status == .running)
        expectFailure(with: "it is running, not created") { try second.container.start() }
        expectFailure(with: "it is running, not stopped") { try second.container.delete() }
        try second.container.pause()
        #expect(second.container.status == .paused)
        expectFailure(with: "paused") { _ = try world.exec("true", in: second.container) }
        try second.container.resume()
        #expect(try second.container.pids() == [second.process.pid])
        #expect(try second.container.stats().memoryUsageBytes ?? 0 > 0)
        try second.container.kill(signal: SIGKILL)
        #expect(try PidFD.reap(second.process.pidfd.rawValue) == .signaled(SIGKILL, coreDumped: false))
        #expect(second.container.status == .stopped)
        expectFailure(with: "has ended") { try second.container.kill(signal: SIGTERM) }
        try second.container.delete()
    }

    @Test func `a program that is not there fails the creation and everything is taken back`() throws {
        let world = try World()
        let error = World.failure { _ = try world.run("") { $0.process?.args = ["/bin/nothing"] } }
        #expect(error == "execute '/bin/nothing': ENOENT (stage exec)")
        let other = World.failure { _ = try world.run("") { $0.process?.args = ["/bin"] } }
        #expect(other == "execute '/bin': EACCES (stage exec)")
        #expect(try Cgroup(host: .current(), path: "/" + world.id).exists == false)
        #expect(try Files.names(in: world.folder + "/state").filter { $0.first != "." }.isEmpty)
    }

    @Test func `a second container of the same name is refused and the first lives on`() throws {
        let world = try World()
        try world.with { container in
            let error = World.failure { _ = try world.create("true") }
            #expect(error == "container '\(world.id)' exists already")
            #expect(container.status == .running)
        }
    }

    @Test func `all processes of a container get a signal, not only the first`() throws {
        let world = try World()
        try world.with("sleep 1000 & sleep 1000 & sleep 1000", { $0.linux?.namespaces?.removeAll { $0.type == .pid } })
        { container in
            var count = 0
            for _ in 0..<100 where count < 3 {
                usleep(10_000)
                count = try container.pids().count
            }
            #expect(count >= 3)
            try container.kill(signal: SIGKILL, all: true)
            for _ in 0..<100 where try container.pids().count > 1 { usleep(10_000) }
            #expect(try container.pids().count <= 1)
        }
    }

    @Test func `exec runs as who it is told, in the container's namespaces and cgroup`() throws {
        let world = try World()
        try world.with { container in
            let outcome = try world.exec("id; cat /proc/self/cgroup; echo $0-$X; ls /proc/self/fd", in: container) {
                process in
                process.user = OCIUser(uid: 5, gid: 7, additionalGids: [9, 10])
                process.env = ["X=1", "PATH=/bin"]
            }
            #expect(
                outcome.output.contains("uid=5 gid=7 groups=9,10\n")
                    || outcome.output.contains("uid=5 gid=7 groups=7,9,10\n"))
            #expect(outcome.output.contains(":pids:/\n") || outcome.output.contains("0::/\n"))
            #expect(outcome.output.contains("sh-1\n"))
            #expect(outcome.output.hasSuffix("0\n1\n2\n3\n"))
            #expect(try world.exec("exit 5", in: container).status == 5)
            let missing = World.failure { _ = try world.exec("", in: container) { $0.args = ["nothing"] } }
            #expect(missing == "execute 'nothing': ENOENT (stage exec)")
        }
    }

    @Test func `a terminal's master comes back and its slave is the console`() throws {
        let world = try World()
        var spec = world.spec("stat -c %t:%T /dev/console; echo size; exec sleep 1000")
        spec.process?.terminal = true
        var created = try Container.run(
            world.request(spec, stdio: .terminal(OCIConsoleSize(height: 12, width: 34))), in: world.environment)
        defer {
            _ = try? created.container.delete(force: true)
            _ = try? PidFD.reap(created.process.pidfd.rawValue)
        }
        guard let console = created.process.console.take() else {
            Issue.record("no console")
            return
        }
        var text = ""
        while !text.contains("size") {
            var buffer = [UInt8](repeating: 0, count: 100)
            let count = read(console.rawValue, &buffer, 100)
            guard count > 0 else { break }
            text += String(decoding: buffer[..<count], as: UTF8.self)
        }
        #expect(text.hasPrefix("88:0\r\n"))
        var size = winsize()
        #expect(ioctl(console.rawValue, UInt(TIOCGWINSZ), &size) == 0)
        #expect(size.ws_row == 12 && size.ws_col == 34)
    }

    @Test func `hooks of every kind run in their order and place, and see the state`() throws {
        let world = try World()
        let log = world.folder + "/log"
        try Files.replace(log, with: [], mode: 0o666)
        func hook(_ name: String, _ file: String) -> [OCIHook] {
            [
                OCIHook(
                    path: "/bin/sh", args: ["sh", "-c", "read line; echo \(name) $E $line >> \(file)"], env: ["E=e"],
                    timeout: 10)
            ]
        }
        var hooks = OCIHooks()
        hooks.prestart = hook("prestart", log)
        hooks.createRuntime = hook("createRuntime", log)
        hooks.createContainer = hook("createContainer", log)
        hooks.startContainer = hook("startContainer", "/log")
        hooks.poststart = hook("poststart", log)
        hooks.poststop = hook("poststop", log)
        try world.with("cat /log; sleep 1000", { $0.hooks = hooks }) { _ in }
        let lines = try Files.text(log).split(separator: "\n")
        #expect(
            lines.map { $0.split(separator: " ")[0] } == [
                "prestart", "createRuntime", "createContainer", "poststart", "poststop",
            ])
        #expect(lines.allSatisfy { $0.contains(" e {") && $0.contains("\"id\":\"\(world.id)\"") })
        #expect(lines[0].contains("\"status\":\"creating\"") && lines[3].contains("\"status\":\"running\""))
        #expect(lines[4].contains("\"status\":\"stopped\""))
        #expect(try Files.text(world.rootfs + "/log").hasPrefix("startContainer e {"))
    }

    @Test func `a hook that fails or takes too long ends the creation`() throws {
        let world = try World()
        var hooks = OCIHooks()
        hooks.createRuntime = [OCIHook(path: "/bin/false")]
        expectFailure(with: "'/bin/false' ended with status 1") { _ = try world.run("true") { $0.hooks = hooks } }
        hooks = OCIHooks()
        hooks.createContainer = [OCIHook(path: "/bin/sleep", args: ["sleep", "100"], timeout: 1)]
        expectFailure(is: "run hook '/bin/sleep': ETIMEDOUT (stage hook)") {
            _ = try world.run("true") { $0.hooks = hooks }
        }
        #expect(try Files.names(in: world.folder + "/state").filter { $0.first != "." }.isEmpty)
    }
}
