internal import CBerthSystem
internal import Glibc
package import SystemPackage

/// What a process of one control thread does to become a daemon.
package enum DaemonProcess {
    /// Forks a detached child. Only while the process has one thread.
    ///
    /// - Returns: the child's pid in the parent, nil in the child.
    package static func detach() throws(Errno) -> Int32? {
        let pid = try sys(berth_fork_detached())
        return pid == 0 ? nil : pid
    }

    /// Adopts orphans of descendants from now on.
    package static func becomeSubreaper() throws(Errno) { try sys(berth_become_subreaper()) }

    /// SIGCHLD, SIGTERM, SIGINT and SIGHUP as a descriptor; SIGPIPE is ignored.
    package static func signals() throws(Errno) -> OwnedFD { OwnedFD(try sys(berth_daemon_signals())) }

    /// Keeps the heap of a small process small. Before anything is allocated, as far as that is possible.
    package static func keepHeapSmall() { berth_keep_heap_small() }

    /// Gives free pages of the heap back.
    package static func trimHeap() { berth_trim_heap() }

    /// A name as `ps` shows it, at most 15 bytes.
    package static func setName(_ name: String) {
        // SAFETY: the string lives through the call; the kernel copies 15 bytes at most.
        unsafe berth_set_name(name)
    }
}

/// The size of a terminal.
package enum Terminal {
    package static func resize(_ master: Int32, rows: UInt16, columns: UInt16) throws(Errno) {
        try sys(berth_set_window(master, rows, columns))
    }
}

/// A descriptor that is readable after a file was changed.
package enum FileWatch {
    package static func open(_ path: String) throws(Errno) -> OwnedFD {
        // SAFETY: the string lives through the call.
        OwnedFD(try sys(unsafe berth_watch_file(path)))
    }
}

/// A counter that the kernel adds to at events of a v1 cgroup. Source: cgroup-v1/memory.rst, "OOM Control".
package enum EventCounter {
    package static func open(on file: String, in directory: String) throws(Errno) -> OwnedFD {
        let counter = OwnedFD(try sys(berth_eventfd()))
        let watched = try Files.open("\(directory)/\(file)", O_RDONLY)
        try Files.set("\(directory)/cgroup.event_control", to: "\(counter.rawValue) \(watched.rawValue)")
        return counter
    }
}

/// Starts programs of others, which the caller reaps.
package enum Spawn {
    /// Starts a program with the descriptors as its 0, 1, 2, … and nothing else open.
    package static func start(
        _ path: String, _ arguments: [String], environment: [String], descriptors: [Int32]
    ) throws(Errno) -> Int32 {
        var words = unsafe ([path] + arguments).map { unsafe strdup($0) } + [nil]
        var variables = unsafe environment.map { unsafe strdup($0) } + [nil]
        defer {
            unsafe words.forEach { unsafe free($0) }
            unsafe variables.forEach { unsafe free($0) }
        }
        // SAFETY: both arrays end with nil and live until after the call; the child has its own copy by then.
        return try sys(
            unsafe berth_spawn_with(path, &words, &variables, descriptors, Int32(descriptors.count)))
    }
}

/// A thread that runs a body once.
package enum SmallThread {
    /// Starts it; the stack is small, as its body is.
    package static func start(stack: Int, _ body: @escaping @Sendable () -> Void) throws(Errno) {
        let box = unsafe Unmanaged.passRetained(Body(body))
        // SAFETY: the box is retained until the thread takes it; the thread runs it once.
        let result = unsafe berth_start_thread(
            { argument in
                guard let argument = unsafe argument else { return }
                unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
            }, box.toOpaque(), stack)
        if result < 0 { unsafe box.release() }
        try sys(result)
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

/// Signals by their numbers.
package enum Signal {
    package static let hangUp = SIGHUP
    package static let interrupt = SIGINT
    package static let kill = SIGKILL
    package static let terminate = SIGTERM
    package static let child = SIGCHLD
}
