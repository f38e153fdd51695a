internal import BerthAPI
internal import BerthBase

/// CRI's numbers of signals, which are not the kernel's.
enum SignalTranslation {
    /// By CRI's number; the first is "the runtime's default". Real-time signals follow.
    private static let names =
        [
            "", "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT",
            "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT",
            "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2",
            "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN",
        ] + (1...15).map { "SIGRTMIN+\($0)" } + (1...14).reversed().map { "SIGRTMAX-\($0)" } + ["SIGRTMAX"]

    /// - Throws: `invalidArgument` for a number that this version of CRI does not have.
    static func name(_ signal: Runtime_V1_Signal) throws -> String {
        guard names.indices.contains(signal.rawValue) else {
            throw BerthError(.invalidArgument, "stop_signal: \(signal.rawValue) is no signal of CRI")
        }
        return names[signal.rawValue]
    }

    static func signal(_ name: String) -> Runtime_V1_Signal {
        names.firstIndex(of: name).flatMap { Runtime_V1_Signal(rawValue: $0) } ?? .runtimeDefault
    }
}
