import ArgumentParser
import BerthAPI
import Testing

@testable import berth

@Suite struct ParsingTests {
    private func run(_ arguments: String...) throws -> Run {
        try #require(try Berth.parseAsRoot(["run"] + arguments) as? Run)
    }

    private func refused(_ arguments: [String]) -> String {
        do { _ = try Berth.parseAsRoot(arguments) } catch { return Berth.message(for: error) }
        return ""
    }

    @Test func `what stands behind the image is the command's, options too`() throws {
        let command = try run("--rm", "-e", "A=b=c", "busybox", "sh", "-c", "echo --rm", "-d")
        #expect(command.image == "busybox")
        #expect(command.command == ["sh", "-c", "echo --rm", "-d"])
        #expect(command.rm && !command.detach)
        #expect(try command.request().env == ["A=b=c"])
    }

    @Test func `every option of run arrives in the request`() throws {
        let request = try run(
            "-d", "--rm", "--name", "web", "-v", "/src:/dst:ro", "-v", "/a:/b", "--memory", "64m", "--cpus", "0.5",
            "--network", "host", "-w", "/work", "-u", "1000:1000", "--read-only", "--entrypoint", "/bin/sh",
            "--hostname",
            "h", "--label", "a=b=c", "image"
        ).request()
        #expect(request.remove && request.hostNetwork && request.readOnly)
        #expect(request.name == "web")
        #expect(request.volumes.map(\.source) == ["/src", "/a"])
        #expect(request.volumes.map(\.readOnly) == [true, false])
        #expect(request.memory == 64 << 20)
        #expect(request.cpuMillis == 500)
        #expect(request.workdir == "/work")
        #expect(request.user == "1000:1000")
        #expect(request.entrypoint == ["/bin/sh"])
        #expect(request.hostname == "h")
        #expect(request.labels == ["a": "b=c"])
    }

    @Test(arguments: [
        (["-it"], "-it is not supported"), (["-i"], "-i is not supported"), (["-t"], "-t is not supported"),
        (["--network", "none"], "--network is pod or host"), (["--memory", "lots"], "'lots' is no size"),
        (["--memory=-5m"], "'-5m' is no size"), (["--memory", "9999999999999g"], "too large"),
        (["--cpus", "-1"], "--cpus"), (["--cpus", "0"], "--cpus"), (["-v", "relative:/x"], "volume 'relative:/x'"),
        (["-v", "/a:/b:rx"], "volume '/a:/b:rx'"), (["-e", "BERTH_TEST_NOT_SET"], "is not NAME=VALUE"),
    ])
    func `a wrong option of run is refused by name`(_ options: [String], _ words: String) {
        let text = refused(["run"] + options + ["image"])
        #expect(text.contains(words), "\(text)")
    }

    @Test func `exec refuses a terminal too`() {
        #expect(refused(["exec", "-it", "c", "sh"]).contains("-it is not supported"))
    }

    @Test(arguments: [
        (["--address", "/s", "version"], ["version", "--address", "/s"]),
        (["--address=/s", "-o", "json", "run", "i", "--x"], ["run", "--address=/s", "-o", "json", "i", "--x"]),
        (["-o", "json", "gc", "explain", "k"], ["gc", "explain", "-o", "json", "k"]),
        (["-o", "json", "gc", "--dry-run"], ["gc", "-o", "json", "--dry-run"]),
        (["version", "--address", "/s"], ["version", "--address", "/s"]), (["--help"], ["--help"]),
        (["--address", "/s", "--help"], ["--address", "/s", "--help"]),
    ])
    func `common options may stand before the command`(_ given: [String], _ wanted: [String]) {
        #expect(CommonOptions.behindCommand(given) == wanted)
    }

    @Test func `every command of the list parses`() throws {
        let calls = [
            ["pull", "x"], ["images"], ["rmi", "x", "y"], ["ps", "-a"], ["logs", "-f", "--tail", "3", "x"],
            ["exec", "-e", "A=b", "x", "ls", "-l"], ["stop", "-t", "3", "x"], ["rm", "-f", "x"], ["inspect", "x"],
            ["ops"],
            ["plugins"], ["gc", "--dry-run"], ["gc", "explain", "x"], ["version", "-o", "json"],
        ]
        for call in calls { #expect(throws: Never.self, "\(call)") { try Berth.parseAsRoot(call) } }
    }
}
