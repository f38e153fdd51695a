internal import BerthBase
package import BerthShimAPI

/// The Task service. An empty exec ID means the task itself.
extension Shim {
    package func create(_ request: CreateTaskRequest) async throws -> UInt32 {
        let answer: CreateTaskResponse = try await task("Create", request, within: Self.changePatience)
        return answer.pid
    }

    package func start(_ id: String, exec: String = "") async throws -> UInt32 {
        var request = StartRequest()
        (request.id, request.execID) = (id, exec)
        let answer: StartResponse = try await task("Start", request, within: Self.changePatience)
        return answer.pid
    }

    package func state(
        of id: String, exec: String = "", within patience: Duration = questionPatience
    ) async throws -> StateResponse {
        var request = StateRequest()
        (request.id, request.execID) = (id, exec)
        return try await task("State", request, within: patience)
    }

    /// Waits for the exit, however long that takes.
    package func wait(for id: String, exec: String = "", within patience: Duration? = nil) async throws -> WaitResponse
    {
        var request = WaitRequest()
        (request.id, request.execID) = (id, exec)
        return try await task("Wait", request, within: patience)
    }

    package func kill(_ id: String, exec: String = "", signal: Int32, all: Bool) async throws {
        var request = KillRequest()
        (request.id, request.execID) = (id, exec)
        request.signal = UInt32(clamping: signal)
        request.all = all
        try await task("Kill", request, within: Self.changePatience)
    }

    package func delete(_ id: String, exec: String = "") async throws -> DeleteResponse {
        var request = DeleteRequest()
        (request.id, request.execID) = (id, exec)
        return try await task("Delete", request, within: Self.changePatience)
    }

    package func exec(_ request: ExecProcessRequest) async throws {
        try await task("Exec", request, within: Self.changePatience)
    }

    package func resize(_ id: String, exec: String, width: UInt32, height: UInt32) async throws {
        var request = ResizePtyRequest()
        (request.id, request.execID, request.width, request.height) = (id, exec, width, height)
        try await task("ResizePty", request, within: Self.questionPatience)
    }

    package func closeStdin(_ id: String, exec: String) async throws {
        var request = CloseIORequest()
        (request.id, request.execID, request.stdin) = (id, exec, true)
        try await task("CloseIO", request, within: Self.questionPatience)
    }

    package func pause(_ id: String) async throws {
        var request = PauseRequest()
        request.id = id
        try await task("Pause", request, within: Self.changePatience)
    }

    package func resume(_ id: String) async throws {
        var request = ResumeRequest()
        request.id = id
        try await task("Resume", request, within: Self.changePatience)
    }

    package func update(_ id: String, resources: [UInt8]) async throws {
        var request = UpdateTaskRequest()
        request.id = id
        request.resources = .resources(resources)
        try await task("Update", request, within: Self.changePatience)
    }

    package func stats(of id: String) async throws -> WireAny {
        var request = StatsRequest()
        request.id = id
        let answer: StatsResponse = try await task("Stats", request, within: Self.questionPatience)
        guard let stats = answer.stats else {
            throw BerthError(.internal, "statistics of '\(id)': the shim gave none")
        }
        return stats
    }

    package func pids(of id: String) async throws -> [UInt32] {
        var request = PidsRequest()
        request.id = id
        let answer: PidsResponse = try await task("Pids", request, within: Self.questionPatience)
        return answer.processes.map(\.pid)
    }

    /// Asks the shim to end. It closes the connection, with or without an answer.
    func shutdown(_ id: String) async throws {
        var request = ShutdownRequest()
        request.id = id
        try await task("Shutdown", request, within: Self.questionPatience)
    }
}
