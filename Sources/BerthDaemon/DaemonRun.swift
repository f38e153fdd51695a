internal import BerthBase
internal import BerthKernel
internal import BerthSystem
internal import Dispatch
internal import Glibc
internal import Logging

/// One run of the daemon, from the lock on its root to the ordered stop.
struct DaemonRun: Sendable {
    let configuration: Configuration
    let options: Invocation.Options
    let plugins: [Plugin]
    private let begin = ContinuousClock.now
    private let levels: LogLevels

    init(configuration: Configuration, options: Invocation.Options, plugins: [Plugin]) {
        self.configuration = configuration
        self.options = options
        self.plugins = plugins
        levels = LogLevels(configuration.log)
    }

    /// Runs until SIGTERM or SIGINT.
    ///
    /// - Returns: the exit status.
    func untilStopped() throws -> Int32 {
        let signals = SignalSource([SIGTERM, SIGINT, SIGHUP])
        signal(SIGPIPE, SIG_IGN)
        umask(0o022)
        let (levels, isJSON) = (levels, configuration.log.format == .json)
        LoggingSystem.bootstrap { _ in LineLogHandler(levels, json: isJSON) }
        let logger = Logger(label: "berthd")
        // Before anything is touched: a configuration that is wrong leaves no trace.
        let kernel = try Kernel(
            plugins: plugins, configuration: configuration, logger: logger, versions: { LibraryVersions.all })
        let done = DispatchSemaphore(value: 0)
        let status = Shared<Int32>(1)
        Task {
            do {
                let locks = try prepare(logger)
                try await run(kernel, signals, logger)
                withExtendedLifetime(locks) {}
                status.withLock { $0 = 0 }
            } catch {
                logger.error("berthd cannot run", metadata: ["error": "\(error)"])
                ServiceManager.notify("STATUS=\("\(error)".replacing("\n", with: " "))")
            }
            done.signal()
        }
        done.wait()
        return status.withLock { $0 }
    }

    /// The folders, with the modes that keep host users out (CVE-2024-25621), and the locks on them.
    private func prepare(_ logger: Logger) throws -> [InstanceLock] {
        try PrivateFolder.make(configuration.root, mode: 0o700)
        try PrivateFolder.make(configuration.state, mode: 0o711)
        let locks = [
            try InstanceLock(configuration.root, as: "root"), try InstanceLock(configuration.state, as: "state"),
        ]
        do { try OpenFilesLimit.raise() } catch {
            logger.warning("the limit on open files stays as it is", metadata: ["error": "\(error)"])
        }
        return locks
    }

    private func run(_ kernel: Kernel, _ signals: SignalSource, _ logger: Logger) async throws {
        let starting = Task { try await kernel.start() }
        let (requests, queue) = AsyncStream<Request>.makeStream()
        let watcher = Task { await watch(signals, starting, queue, logger) }
        defer { watcher.cancel() }
        do { try await starting.value } catch let error as BerthError
            where error.code == .cancelled && starting.isCancelled
        {
            logger.info("stopped while starting")
            return
        }
        announce(kernel, logger)
        let watchdog = ServiceManager.watchdog()
        var log = configuration.log
        for await request in requests {
            if request == .stop { break }
            ServiceManager.notify("RELOADING=1\nMONOTONIC_USEC=\(ServiceManager.monotonicMicroseconds)")
            await reload(kernel, &log, logger)
            ServiceManager.notify("READY=1")
        }
        watchdog?.cancel()
        await kernel.stop()
        logger.info("stopped")
    }

    private enum Request: Sendable { case reload, stop }

    /// Turns signals into requests. The first SIGTERM or SIGINT stops in order, a second one at once.
    private func watch(
        _ signals: SignalSource, _ starting: Task<Void, any Error>, _ queue: AsyncStream<Request>.Continuation,
        _ logger: Logger
    ) async {
        var isStopping = false
        for await number in signals.stream {
            if number == SIGHUP {
                queue.yield(.reload)
            } else if isStopping {
                logger.warning("asked to stop a second time: not waiting for plugins")
                exit(1)
            } else {
                isStopping = true
                ServiceManager.notify("STOPPING=1")
                logger.info("stopping", metadata: ["signal": "\(number == SIGTERM ? "SIGTERM" : "SIGINT")"])
                starting.cancel()
                queue.yield(.stop)
            }
        }
    }

    private func announce(_ kernel: Kernel, _ logger: Logger) {
        let plugins = kernel.view.plugins()
        let working = plugins.filter(\.state.isRunning).count
        logger.info(
            "berthd runs",
            metadata: [
                "version": "\(Daemon.version)", "pid": "\(getpid())", "plugins": "\(working)/\(plugins.count)",
                "elapsed_ms": "\(milliseconds(.now - begin))", "root": "\(configuration.root)",
            ])
        ServiceManager.notify("READY=1\nSTATUS=\(working) of \(plugins.count) plugins run")
    }

    /// Reads the file again, applies what can be applied, and says what needs a restart. Nothing is ever stopped.
    private func reload(_ kernel: Kernel, _ log: inout LogSettings, _ logger: Logger) async {
        do {
            let (options, plugins) = (options, plugins)
            let new = try await Blocking.run { try Daemon.load(options, plugins) }
            var changes = try await kernel.reload(plugins, new)
            if new.log.level != log.level { changes.append(Kernel.Change("log.level", applied: true)) }
            if new.log.plugins != log.plugins { changes.append(Kernel.Change("log.plugins", applied: true)) }
            if new.log.format != configuration.log.format {
                changes.append(Kernel.Change("log.format", applied: false))
            }
            levels.replace(with: new.log)
            log = new.log
            for change in changes {
                guard let refusal = change.refusal else { continue }
                logger.error("plugin refused a new value", metadata: ["key": "\(change.key)", "error": "\(refusal)"])
            }
            func keys(_ applied: Bool) -> String {
                changes.filter { $0.applied == applied }.map(\.key).joined(separator: ", ")
            }
            logger.notice(
                "configuration read again", metadata: ["applied": "\(keys(true))", "needs_restart": "\(keys(false))"])
        } catch {
            logger.error("configuration not applied", metadata: ["error": "\(error)"])
        }
    }

    private func milliseconds(_ duration: Duration) -> String {
        let micros = duration.components.seconds * 1_000_000 + duration.components.attoseconds / 1_000_000_000_000
        return "\(Double(micros) / 1000)"
    }
}
