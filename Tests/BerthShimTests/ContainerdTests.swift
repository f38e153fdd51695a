import BerthSystem
import Glibc
import Testing

/// Foreign software drives our shim: Debian's containerd 1.6 and its `ctr`.
@Suite(
    .enabled(if: geteuid() == 0, "containers need root"),
    .enabled(if: ContainerdWorld.isInstalled, "containerd, ctr, umoci, skopeo and busybox are needed"), .serialized)
struct ContainerdTests {
    @Test func `ctr runs, looks at, freezes, kills and deletes containers and nothing is left`() throws {
        let world = try ContainerdWorld(), id = world.world.id
        let ran = try world.run(id, "echo out; echo err >&2; exit 3")
        #expect(ran.0.contains("out\n") && ran.0.contains("err\n") && ran.1 == 3)
        #expect(try world.run(id, "cat; echo end", input: "piped\n") == ("piped\nend\n", 0))
        let terminal = try world.run(
            "/usr/bin/script",
            [
                "-qec",
                "ctr -a \(world.world.folder)/c.sock run -t --rm --runtime io.containerd.berth.v1 \(ContainerdWorld.image) \(id) tty",
                "/dev/null",
            ])
        #expect(String(decoding: terminal.output, as: UTF8.self).contains("/dev/pts/0"))

        try world.start(id, "sleep 1000")
        let exec = try world.ctr("task", "exec", "--exec-id", "e", id, "sh", "-c", "echo in; exit 4")
        #expect(exec.text.hasPrefix("in\n") && exec.status == 4)
        #expect(try world.ctr("task", "ls").text.contains("RUNNING"))
        #expect(try world.ctr("task", "ps", id).text.split(separator: "\n").count == 2)
        #expect(try world.ctr("task", "metrics", id).text.contains("memory"))
        #expect(try world.ctr("task", "pause", id).status == 0)
        #expect(try world.ctr("task", "ls").text.contains("PAUSED"))
        #expect(try world.ctr("task", "resume", id).status == 0)
        #expect(try world.ctr("task", "kill", "-s", "KILL", id).status == 0)
        try world.waitUntil("the task stops") { try world.ctr("task", "ls").text.contains("STOPPED") }
        #expect(try world.ctr("task", "delete", id).status == 0)
        #expect(try world.ctr("container", "rm", id).status == 0)
        try world.expectNothingLeft([id])
    }

    @Test func `containerd cleans up after a shim that was killed`() throws {
        let world = try ContainerdWorld(), id = world.world.id
        try world.start(id, "sleep 1000")
        let shims = try world.shims()
        #expect(shims.count == 1)
        for shim in shims { kill(shim, SIGKILL) }
        try world.waitUntil("containerd notices") { try !world.ctr("task", "ls").text.contains(id) }
        #expect(try world.ctr("container", "rm", id).status == 0)
        try world.expectNothingLeft([id])
    }

    @Test func `events of a container's life reach containerd in order`() throws {
        let world = try ContainerdWorld(), id = world.world.id
        let out = try Files.open(world.world.folder + "/events", O_WRONLY | O_CREAT, mode: 0o600)
        let null = try Files.open("/dev/null", O_RDWR)
        let pid = try Spawn.start(
            "/usr/bin/ctr", ["-a", world.world.folder + "/c.sock", "events"], environment: [],
            descriptors: [null.rawValue, out.rawValue, out.rawValue])
        defer {
            kill(pid, SIGKILL)
            _ = try? PidFD.reap(pid: pid)
        }
        usleep(300_000)
        _ = try world.run(id, "exit 0")
        let topics = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]
        func seen() throws -> [String] {
            try Files.text(world.world.folder + "/events").split(separator: "\n")
                .compactMap { line in topics.first { line.contains(" \($0) ") } }
        }
        try world.waitUntil("the events") { try seen().count >= topics.count }
        #expect(try seen() == topics)
        try world.expectNothingLeft([id])
    }

    @Test func `many cycles leave no process, bundle, cgroup, mount or socket`() throws {
        let world = try ContainerdWorld(), id = world.world.id
        for number in 0..<15 {
            let one = "\(id)-\(number)"
            if number % 3 == 0 {
                try world.start(one, "sleep 1000")
                #expect(try world.ctr("task", "rm", "-f", one).status == 0)
                #expect(try world.ctr("container", "rm", one).status == 0)
            } else {
                #expect(try world.run(one, "exit \(number)").1 == Int32(number))
            }
        }
        try world.expectNothingLeft((0..<15).map { "\(id)-\($0)" })
    }
}
