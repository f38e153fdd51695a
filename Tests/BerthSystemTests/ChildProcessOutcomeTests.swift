import BerthBase
import BerthSystem
import Glibc
import Testing

@Suite struct ChildProcessOutcomeTests {
    private func sh(_ script: String, input: String = "", deadline: Duration = .seconds(20)) throws
        -> ChildProcess.Outcome
    {
        try ChildProcess.run(
            .init("/bin/sh", ["-c", script], environment: ["A=b"], input: Array(input.utf8), deadline: deadline))
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func `input goes in, both outputs and the status come out`() throws {
        let outcome = try sh("cat; echo $A; echo wrong >&2; exit 7", input: "in\n")
        #expect(text(outcome.output) == "in\nb\n")
        #expect(text(outcome.errors) == "wrong\n")
        #expect(outcome.status == 7)
    }

    @Test func `a signal is 128 and its number, and signals have their defaults`() throws {
        #expect(try sh("kill -TERM $$; sleep 5").status == 128 + SIGTERM)
    }

    @Test func `a program that is not there is not found`() {
        let error = #expect(throws: BerthError.self) { try ChildProcess.run(.init("/none", deadline: .seconds(5))) }
        #expect(error?.code == .notFound)
        #expect(error?.message.hasPrefix("execute '/none': ") == true)
    }

    @Test func `at the deadline the whole group is killed`() throws {
        let begin = ContinuousClock.now
        let error = #expect(throws: BerthError.self) { try sh("sleep 77 & sleep 77", deadline: .milliseconds(200)) }
        #expect(error?.code == .deadlineExceeded)
        #expect(.now - begin < .seconds(10))
    }

    @Test func `output has a limit`() {
        var command = ChildProcess.Command("/bin/sh", ["-c", "yes | head -c 100000"], deadline: .seconds(20))
        command.environment = ["PATH=/usr/bin:/bin"]
        command.outputLimit = 1000
        let error = #expect(throws: BerthError.self) { try ChildProcess.run(command) }
        #expect(error?.code == .resourceExhausted)
    }

    @Test func `input that nobody reads does not hang`() throws {
        // As every process of ours does first.
        signal(SIGPIPE, SIG_IGN)
        #expect(try sh("exit 0", input: String(repeating: "x", count: 1 << 20)).status == 0)
    }
}

@Suite struct MountInfoTests {
    @Test func `a line is read with its escapes`() {
        let line =
            "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext4 /dev/root rw,errors=continue\nnonsense\n"
        let all = MountInfo.parse(Array(line.utf8))
        #expect(all.count == 1)
        #expect(all.first?.mountPoint == "/mnt 2")
        #expect(all.first?.root == "/mnt1")
        #expect(all.first?.options == ["rw", "noatime"])
        #expect(all.first?.propagation == ["master:1", "shared:7"])
        #expect(all.first?.type == "ext4")
        #expect(all.first?.superOptions == ["rw", "errors=continue"])
    }

    @Test func `this process has a root`() throws {
        #expect(try MountInfo.current().contains { $0.mountPoint == "/" })
    }
}
