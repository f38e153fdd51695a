import BerthBase
import BerthSystem
import Glibc
import Testing

@Suite struct ChildProcessTests {
    private func run(_ script: String, input: String = "", deadline: Duration = .seconds(10), limit: Int? = nil) throws
        -> ChildProcess.Outcome
    {
        var command = ChildProcess.Command(
            "/bin/sh", ["-c", script], environment: ["PATH=/bin:/usr/bin"], input: Array(input.utf8), deadline: deadline)
        if let limit { command.outputLimit = limit }
        return try ChildProcess.run(command)
    }

    @Test func `what goes in comes out, with both outputs and the status`() throws {
        let outcome = try run("cat; echo wrong >&2; exit 3", input: String(repeating: "x", count: 300_000))
        #expect(outcome.output.count == 300_000 && outcome.errors == Array("wrong\n".utf8) && outcome.status == 3)
        #expect(try run("kill -9 $$").status == 137)
    }

    @Test func `a child that closes its outputs costs nothing while it goes on`() throws {
        func spent() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        }
        let before = spent()
        #expect(try run("exec >&- 2>&-; sleep 1").status == 0)
        #expect(spent() - before < 0.2)
    }

    @Test func `a child that hangs is killed with all it started`() throws {
        let began = ContinuousClock.now
        #expect {
            _ = try run("sleep 61.5 & sleep 61.5", deadline: .milliseconds(200))
        } throws: { ($0 as? BerthError)?.code == .deadlineExceeded }
        #expect(began.duration(to: .now) < .seconds(5))
    }

    @Test func `a child that writes without end is killed at the limit`() throws {
        #expect { _ = try run("cat /dev/zero", limit: 100_000) } throws: {
            ($0 as? BerthError)?.code == .resourceExhausted
        }
    }

    @Test func `a grandchild that keeps the outputs open is not waited for`() throws {
        let began = ContinuousClock.now
        #expect(try run("sleep 3 & echo done").output == Array("done\n".utf8))
        #expect(began.duration(to: .now) < .seconds(2))
    }

    @Test func `what cannot be executed is named`() throws {
        let command = ChildProcess.Command("/nowhere/at/all", deadline: .seconds(1))
        #expect { _ = try ChildProcess.run(command) } throws: { error in
            (error as? BerthError)?.code == .notFound && "\(error)".contains("/nowhere/at/all")
        }
    }
}
