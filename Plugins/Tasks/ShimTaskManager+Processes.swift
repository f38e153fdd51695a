internal import BerthBase
package import BerthServices
internal import BerthShimAPI
internal import BerthShimClient

extension ShimTaskManager {
    package func execSync(
        _ ref: TaskRef, process: [UInt8], timeout: Duration?, limit: Int
    ) async throws -> ExecResult {
        try await during("run a command in '\(ref.container)'") {
            let shim = try await shim(of: ref)
            guard shim.can(ShimCapability.execSync) else {
                let folder = try await entry(ref).bundle.path
                let foreign = ForeignExec(shim: shim, container: ref.container.rawValue, folder: folder)
                return try await foreign.run(process, timeout: timeout, limit: limit)
            }
            let (output, code) = try await shim.execSync(
                ref.container.rawValue, process: process, timeout: timeout, limit: limit)
            return ExecResult(stdout: output.stdout, stderr: output.stderr, exitCode: code)
        }
    }

    package func exec(_ ref: TaskRef, execID: String, process: [UInt8], stdio: TaskStdio) async throws -> UInt32 {
        try await during("run '\(execID)' in '\(ref.container)'") {
            try Identifier.validate(execID, as: "exec ID")
            let shim = try await shim(of: ref)
            var request = ExecProcessRequest()
            (request.id, request.execID) = (ref.container.rawValue, execID)
            (request.stdin, request.stdout, request.stderr) = (stdio.stdin, stdio.stdout, stdio.stderr)
            request.terminal = stdio.terminal
            request.spec = .process(process)
            try await shim.exec(request)
            do { return try await shim.start(ref.container.rawValue, exec: execID) } catch {
                // Its own task: the caller may be cancelled, and the shim must not keep the exec.
                await Task { _ = try? await shim.delete(ref.container.rawValue, exec: execID) }.value
                throw error
            }
        }
    }

    package func waitExec(_ ref: TaskRef, execID: String) async throws -> ExitStatus {
        try await during("wait for '\(execID)' in '\(ref.container)'") {
            let shim = try await shim(of: ref)
            let id = ref.container.rawValue
            let answer = try await shim.wait(for: id, exec: execID)
            do {
                _ = try await shim.delete(id, exec: execID)
            } catch let error as BerthError where error.code == .notFound {
                // Deleted by another who waited.
            }
            return ExitStatus(code: answer.exitStatus, exitedAt: answer.exitedAt ?? .now())
        }
    }

    package func killExec(_ ref: TaskRef, execID: String, signal: Int32) async throws {
        try await during("send signal \(signal) to '\(execID)' in '\(ref.container)'") {
            try await shim(of: ref).kill(ref.container.rawValue, exec: execID, signal: signal, all: false)
        }
    }

    package func resize(_ ref: TaskRef, execID: String?, width: UInt32, height: UInt32) async throws {
        try await during("resize the terminal of '\(ref.container)'") {
            try await shim(of: ref).resize(ref.container.rawValue, exec: execID ?? "", width: width, height: height)
        }
    }

    package func closeStdin(_ ref: TaskRef, execID: String?) async throws {
        try await during("close the input of '\(ref.container)'") {
            try await shim(of: ref).closeStdin(ref.container.rawValue, exec: execID ?? "")
        }
    }

    package func update(_ ref: TaskRef, resources: [UInt8]) async throws {
        try await during("change the resources of '\(ref.container)'") {
            try await shim(of: ref).update(ref.container.rawValue, resources: resources)
        }
    }

    package func stats(_ ref: TaskRef) async throws -> AnyMessage {
        try await during("statistics of '\(ref.container)'") {
            let stats = try await shim(of: ref).stats(of: ref.container.rawValue)
            return AnyMessage(typeURL: stats.typeURL, value: stats.value)
        }
    }

    package func pids(_ ref: TaskRef) async throws -> [UInt32] {
        try await during("processes of '\(ref.container)'") { try await shim(of: ref).pids(of: ref.container.rawValue) }
    }

    package func reopenLog(_ ref: TaskRef) async throws {
        try await during("reopen the log of '\(ref.container)'") {
            let shim = try await shim(of: ref)
            guard shim.can(ShimCapability.reopenLog) else {
                throw BerthError(.unimplemented, "the runtime '\(shim.bootstrap.runtime)' writes no log itself")
            }
            try await shim.reopenLog(ref.container.rawValue)
        }
    }
}
