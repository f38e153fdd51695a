internal import BerthBase
internal import BerthRuntime
internal import BerthShimAPI
internal import BerthSystem

extension Shim {
    func delete(_ request: DeleteRequest, _ call: RPCCall) throws(BerthError) {
        let process = try process(request.id, request.execID)
        guard !process.isStarting else {
            throw BerthError(.failedPrecondition, "delete \(process.machine.name): its start is under way")
        }
        switch process.machine.phase {
        case .stopped, .added: break
        case .created where process.isInit: try killCreated(process)
        case .created, .running, .paused:
            throw BerthError(.failedPrecondition, "delete \(process.machine.name): it is \(process.machine.state)")
        case .deleted: throw BerthError(.notFound, "\(process.machine.name) does not exist")
        }
        guard process.isInit else { return deleteExec(process, call) }
        let task = process.task
        if case .added = process.machine.phase { _ = try task.made() }
        process.whenEnded { [self] in
            do throws(BerthError) { try task.inTurn { [self] done in deleteTask(task, call, done) } } catch {
                call.fail(error)
            }
        }
    }

    /// A process that was never started ends when its task is deleted.
    private func killCreated(_ process: RunningProcess) throws(BerthError) {
        do throws(BerthError) { try process.task.made().kill(signal: Signal.kill) } catch {
            // Between our look and the signal it ended by itself.
            guard error.code == .notFound else { throw error }
        }
    }

    private func deleteExec(_ exec: RunningProcess, _ call: RPCCall) {
        let (pid, exit) = (exec.machine.pid, exec.machine.exit)
        end(exec.streams) { [self] in
            exec.task.remove(exec: exec.execID)
            apply(.deleted, to: exec)
            call.answer(DeleteResponse(pid, exit))
        }
    }

    private func deleteTask(_ task: RunningTask, _ call: RPCCall, _ done: @escaping () -> Void) {
        guard tasks[task.id] === task, let container = task.container else {
            call.fail(BerthError(.notFound, "task '\(task.id)' does not exist"))
            return done()
        }
        task.oomWatch = nil
        let mounted = task.mountedRootfs
        offload.run { () throws(BerthError) -> [String] in
            let warnings = try container.delete(force: true)
            if let mounted { RootfsPlan.unmount(mounted) }
            return warnings
        } then: { [self] result in
            switch result {
            case .success(let warnings):
                for warning in warnings { log.write(.warning, "task '\(task.id)': \(warning)") }
                finishDelete(task, call, done)
            case .failure(let error):
                call.fail(error.during("delete task '\(task.id)'"))
                done()
            }
        }
    }

    private func finishDelete(_ task: RunningTask, _ call: RPCCall, _ done: @escaping () -> Void) {
        let process = task.process()
        for exec in task.execs.values where !exec.machine.isAlive { exec.streams?.close() }
        end(process.streams) { [self] in
            let (pid, exit) = (process.machine.pid, process.machine.exit)
            tasks[task.id] = nil
            journal.forget(container: task.id)
            apply(.deleted, to: process)
            task.dissolve()
            call.answer(DeleteResponse(pid, exit))
            done()
        }
    }
}

extension DeleteResponse {
    init(_ pid: Int32, _ exit: ProcessExit?) {
        self.init()
        self.pid = UInt32(pid)
        exitStatus = exit?.status ?? 0
        exitedAt = exit?.time
    }
}
