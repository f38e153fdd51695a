internal import BerthBase
internal import BerthShimAPI

extension Shim {
    /// Serves a call: the one place that knows which services there are.
    func route(_ call: RPCCall) {
        needsTrim = true
        do throws(BerthError) {
            switch call.service {
            case TaskService.v2, TaskService.v3: try serveTask(call)
            case SandboxService.name: try serveSandbox(call)
            case BerthShimService.name: try serveExtension(call)
            default: throw BerthError(.unimplemented, "service '\(call.service)' is not served here")
            }
        } catch {
            call.fail(error)
        }
    }

    private func serveTask(_ call: RPCCall) throws(BerthError) {
        switch call.method {
        case "Create": try create(try call.request(), call)
        case "Start": try start(try call.request(), call)
        case "Delete": try delete(try call.request(), call)
        case "Exec": try addExec(try call.request(), call)
        case "State": call.answer(try state(try call.request()))
        case "Wait": try wait(try call.request(), call)
        case "Kill": try kill(try call.request(), call)
        case "Pids": call.answer(try pids(try call.request()))
        case "Pause": try pause(try call.request(), call)
        case "Resume": try resume(try call.request(), call)
        case "ResizePty": call.answer(try resize(try call.request()))
        case "CloseIO": call.answer(try closeIO(try call.request()))
        case "Update": try update(try call.request(), call)
        case "Stats": call.answer(try stats(try call.request()))
        case "Connect": call.answer(try connect(try call.request()))
        case "Shutdown": try shutdown(try call.request(), call)
        case "Checkpoint": throw BerthError(.unimplemented, "Checkpoint is not supported by this shim")
        default: throw unknown(call)
        }
    }

    private func serveSandbox(_ call: RPCCall) throws(BerthError) {
        switch call.method {
        case "CreateSandbox": try createSandbox(try call.request(), call)
        case "StartSandbox": try startSandbox(try call.request(), call)
        case "StopSandbox": try stopSandbox(try call.request(), call)
        case "WaitSandbox": try waitSandbox(try call.request(), call)
        case "SandboxStatus": call.answer(try sandboxStatus(try call.request()))
        case "PingSandbox": call.answer(try pingSandbox(try call.request()))
        case "ShutdownSandbox": try shutdownSandbox(try call.request(), call)
        case "SandboxMetrics": call.answer(try sandboxMetrics(try call.request()))
        case "Platform": call.answer(platform())
        default: throw unknown(call)
        }
    }

    private func serveExtension(_ call: RPCCall) throws(BerthError) {
        switch call.method {
        case "Capabilities": call.answer(capabilities())
        case "ExecSync": try execSync(try call.request(), call)
        case "ReopenLog": try reopenLog(try call.request(), call)
        case "Exits": try exits(try call.request(), call)
        default: throw unknown(call)
        }
    }

    private func unknown(_ call: RPCCall) -> BerthError {
        BerthError(.unimplemented, "method '\(call.method)' of '\(call.service)' is not served here")
    }
}
