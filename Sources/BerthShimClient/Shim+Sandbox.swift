internal import BerthBase
package import BerthShimAPI
internal import BerthTTRPC

/// The Sandbox service.
extension Shim {
    private func sandbox<Request: WireMessage, Response: WireMessage>(
        _ method: String, _ request: Request, within patience: Duration?
    ) async throws -> Response {
        try await client.call(SandboxService.name, method, request, timeout: patience)
    }

    package func createSandbox(_ request: CreateSandboxRequest) async throws {
        let _: CreateSandboxResponse = try await sandbox("CreateSandbox", request, within: Self.changePatience)
    }

    package func startSandbox(_ id: String) async throws -> StartSandboxResponse {
        var request = StartSandboxRequest()
        request.sandboxID = id
        return try await sandbox("StartSandbox", request, within: Self.changePatience)
    }

    package func stopSandbox(_ id: String, timeout: Duration) async throws {
        var request = StopSandboxRequest()
        request.sandboxID = id
        request.timeoutSecs = UInt32(clamping: timeout.components.seconds)
        let _: StopSandboxResponse = try await sandbox("StopSandbox", request, within: timeout + Self.questionPatience)
    }

    package func sandboxStatus(
        _ id: String, verbose: Bool = false, within patience: Duration = questionPatience
    ) async throws -> SandboxStatusResponse {
        var request = SandboxStatusRequest()
        request.sandboxID = id
        request.verbose = verbose
        return try await sandbox("SandboxStatus", request, within: patience)
    }

    package func sandboxMetrics(_ id: String) async throws -> WireAny {
        var request = SandboxMetricsRequest()
        request.sandboxID = id
        let answer: SandboxMetricsResponse = try await sandbox("SandboxMetrics", request, within: Self.questionPatience)
        guard let data = answer.metrics?.data else {
            throw BerthError(.internal, "metrics of sandbox '\(id)': the shim gave none")
        }
        return data
    }

    /// Asks the shim to end. It closes the connection, with or without an answer.
    func shutdownSandbox(_ id: String) async throws {
        var request = ShutdownSandboxRequest()
        request.sandboxID = id
        let _: ShutdownSandboxResponse = try await sandbox("ShutdownSandbox", request, within: Self.questionPatience)
    }
}

/// What Berth's own shims can do beyond containerd's services.
extension Shim {
    /// What a process that ran to its end has written.
    package struct ExecOutput: Sendable {
        package var stdout: [UInt8] = []
        package var stderr: [UInt8] = []
    }

    /// Runs a process to its end and collects at most `limit` bytes of each stream.
    package func execSync(
        _ id: String, process: [UInt8], timeout: Duration?, limit: Int
    ) async throws -> (output: ExecOutput, exitCode: Int32) {
        var request = ExecSyncRequest()
        (request.id, request.process, request.limit) = (id, process, UInt64(clamping: limit))
        if let timeout {
            let (seconds, attoseconds) = timeout.components
            let (nanoseconds, tooLong) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
            request.timeoutNano = tooLong ? .max : max(1, nanoseconds + attoseconds / 1_000_000_000)
        }
        let output = Shared(ExecOutput())
        let answer = try await client.call(
            BerthShimService.name, "ExecSync", request.encoded(),
            // The shim ends the process in time and drains its output; this is for a shim that hangs.
            timeout: timeout.map { $0 + Self.questionPatience }
        ) { data in
            guard let piece = try? ExecSyncOutput(decoding: data) else { return }
            output.withLock { output in
                output.stdout += piece.stdout.prefix(limit - output.stdout.count)
                output.stderr += piece.stderr.prefix(limit - output.stderr.count)
            }
        }
        return (output.withLock { $0 }, try ExecSyncResponse(decoding: answer).exitCode)
    }

    package func reopenLog(_ id: String) async throws {
        var request = ReopenLogRequest()
        request.id = id
        let _: WireEmpty = try await client.call(
            BerthShimService.name, "ReopenLog", request, timeout: Self.questionPatience)
    }

    /// The exits of tasks that are not deleted, with a sequence above `after`; waits until there is one.
    package func exits(after sequence: UInt64) async throws -> [ShimExit] {
        var request = ShimExitsRequest()
        request.after = sequence
        request.wait = true
        let answer: ShimExitsResponse = try await client.call(BerthShimService.name, "Exits", request, timeout: nil)
        return answer.exits
    }
}
