internal import BerthBase
internal import BerthKernel
internal import Dispatch
internal import Glibc
internal import Logging

/// One run of the daemon, from the lock on its root to the ordered stop.
struct DaemonRun {
    let configuration: Configuration
    let options: Invocation.Options
    let plugins: [Plugin]

    /// Runs until SIGTERM or SIGINT.
    func forever() throws {
        let begin = ContinuousClock.now
        let signals = SignalSource([SIGTERM, SIGINT, SIGHUP])
        signal(SIGPIPE, SIG_IGN)
        let levels = LogLevels(configuration.log)
        let isJSON = configuration.log.format == "json"
        LoggingSystem.bootstrap { _ in LineLogHandler(level: .info, json: isJSON) }
        var logger = Logger(label: "berthd")
        logger.logLevel = levels.standard
        try PrivateFolder.make(configuration.root, mode: 0o700)
        try PrivateFolder.make(configuration.state, mode: 0o711)
        let lock = try InstanceLock(root: configuration.root)
        defer { withExtendedLifetime(lock) {} }
        let kernel = try Kernel(
            plugins: plugins, configuration: configuration, logger: logger, levels: { levels.level(of: $0) })
        let outcome = Shared<(any Error)?>(nil)
        let done = DispatchSemaphore(value: 0)
        let final = logger
        Task {
            do { try await run(kernel, signals, levels, final, since: begin) } catch {
                outcome.withLock { $0 = error }
            }
            done.signal()
        }
        done.wait()
        if let error = outcome.withLock({ $0 }) { throw error }
    }

    private func run(
        _ kernel: Kernel, _ signals: SignalSource, _ levels: LogLevels, _ logger: Logger,
        since begin: ContinuousClock.Instant
    ) async throws {
        try await kernel.start()
        let plugins = kernel.view.plugins()
        let working = plugins.filter(\.state.isRunning).count
        let took = ContinuousClock.now - begin
        ServiceManager.notify("READY=1\nSTATUS=\(working) of \(plugins.count) plugins run")
        logger.info(
            "berthd runs",
            metadata: [
                "version": "\(Daemon.version)", "pid": "\(getpid())", "plugins": "\(working)/\(plugins.count)",
                "elapsed_ms": "\(milliseconds(took))", "root": "\(configuration.root)",
            ])
        let watchdog = ServiceManager.watchdog()
        for await number in signals.stream {
            if number != SIGHUP { break }
            ServiceManager.notify("RELOADING=1\nMONOTONIC_USEC=\(ServiceManager.monotonicMicroseconds)")
            await reload(kernel, levels, logger)
            ServiceManager.notify("READY=1")
        }
        watchdog?.cancel()
        ServiceManager.notify("STOPPING=1")
        logger.info("stopping")
        await kernel.stop()
        logger.info("stopped")
    }

    /// Reads the file again, applies what can be applied, and says what needs a restart. Nothing is ever stopped.
    private func reload(_ kernel: Kernel, _ levels: LogLevels, _ logger: Logger) async {
        do {
            let new = try Daemon.load(options, plugins)
            _ = try Kernel.check(plugins: plugins, configuration: new)
            let differences = await kernel.differences(to: new)
            levels.replace(with: new.log)
            let restart = differences.filter { !$0.applies }.map(\.key)
            logger.notice(
                "configuration read again",
                metadata: [
                    "applied": "\(differences.filter(\.applies).map(\.key).joined(separator: ","))",
                    "needs_restart": "\(restart.joined(separator: ","))",
                ])
        } catch {
            logger.error("configuration not applied", metadata: ["error": "\(error)"])
        }
    }

    private func milliseconds(_ duration: Duration) -> String {
        let micros = duration.components.seconds * 1_000_000 + duration.components.attoseconds / 1_000_000_000_000
        return "\(Double(micros) / 1000)"
    }
}

/// The levels in force, replaced by a reload.
final class LogLevels: Sendable {
    private let settings: Shared<Configuration.LogSettings>

    init(_ settings: Configuration.LogSettings) { self.settings = Shared(settings) }

    func replace(with new: Configuration.LogSettings) { settings.withLock { $0 = new } }

    var standard: Logger.Level { Logger.Level(rawValue: settings.withLock { $0.level }) ?? .info }

    func level(of id: PluginID) -> Logger.Level {
        let text = settings.withLock { $0.plugins[id.description] ?? $0.level }
        return Logger.Level(rawValue: text) ?? .info
    }
}
