internal import BerthBase
internal import BerthOCI
internal import BerthRuntime
internal import BerthSystem
internal import Glibc
internal import SystemPackage

extension Program {
    private func load(
        _ words: ArraySlice<String>, _ options: [Arguments.Option] = [], _ command: String
    ) throws(BerthError) -> (Container, Arguments) {
        let arguments = try Arguments(words, options, command: command)
        return (try Container.load(try arguments.id(), in: environment), arguments)
    }

    func start(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        warn(try load(words, [], "start").0.start())
        return 0
    }

    func kill(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let (container, arguments) = try load(words, [.flag("all", "a")], "kill")
        try arguments.noMore(than: 2)
        let name = arguments.operands.count > 1 ? arguments.operands[1] : "SIGTERM"
        try container.kill(signal: try SignalNames.number(of: name), all: arguments.has("all"))
        return 0
    }

    func delete(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let arguments = try Arguments(words, [.flag("force", "f")], command: "delete")
        let force = arguments.has("force")
        do throws(BerthError) {
            warn(try Container.load(try arguments.id(), in: environment).delete(force: force))
        } catch {
            guard error.code == .notFound, force else { throw error }
            // A creation that was cut off leaves a directory without a record.
            try Container.forget(try arguments.id(), in: environment)
        }
        return 0
    }

    func pause(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        try load(words, [], "pause").0.pause()
        return 0
    }

    func resume(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        try load(words, [], "resume").0.resume()
        return 0
    }

    func ps(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let arguments = try Arguments(words, [.init("format", "f")], command: "ps", operandLimit: 1)
        let container = try Container.load(try arguments.id(), in: environment)
        let pids = try container.pids().sorted()
        if arguments.value("format") == "json" {
            return Program.say("[" + pids.map(String.init).joined(separator: ",") + "]\n")
        }
        let options = arguments.operands.dropFirst()
        let list = pids.map(String.init).joined(separator: ",")
        let command = ChildProcess.Command(
            "/bin/ps", (options.isEmpty ? ["-f"] : Array(options)) + ["-p", list.isEmpty ? "0" : list],
            environment: ["PATH=/usr/bin:/bin"], deadline: .seconds(10))
        let outcome: ChildProcess.Outcome
        do { outcome = try ChildProcess.run(command) } catch {
            throw BerthError.wrapping(error).during("ps")
        }
        return Program.say(String(decoding: outcome.output, as: UTF8.self))
    }

    func events(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let (container, arguments) = try load(words, [.flag("stats"), .init("interval")], "events")
        repeat {
            let stats = String(decoding: try OCIJSON.encode(try container.stats()), as: UTF8.self)
            _ = Program.say("{\"type\":\"stats\",\"id\":\"\(container.id)\",\"data\":\(stats)}\n")
            if arguments.has("stats") { return 0 }
            let text = arguments.value("interval") ?? "5s"
            guard let seconds = UInt32(text.hasSuffix("s") ? String(text.dropLast()) : text), seconds > 0 else {
                throw BerthError(.invalidArgument, "events: --interval '\(text)' is not a number of seconds")
            }
            sleep(seconds)
        } while container.isAlive
        return 0
    }

    func update(_ words: ArraySlice<String>) throws(BerthError) -> Int32 {
        let options: [Arguments.Option] = [
            .init("resources", "r"), .init("blkio-weight"), .init("cpu-period"), .init("cpu-quota"), .init("cpu-burst"),
            .init("cpu-share"), .init("cpu-rt-period"), .init("cpu-rt-runtime"), .init("cpuset-cpus"),
            .init("cpuset-mems"), .init("memory"), .init("memory-reservation"), .init("memory-swap"),
            .init("pids-limit"), .init("cpu-idle"),
        ]
        let (container, arguments) = try load(words, options, "update")
        try container.update(try Program.resources(arguments))
        return 0
    }

    private static func resources(_ arguments: Arguments) throws(BerthError) -> OCIResources {
        if let path = arguments.value("resources") {
            let file = path == "-" ? "/proc/self/fd/0" : path
            let bytes = try attempting("read '\(path)'") { () throws(Errno) in try Files.read(file) }
            return try OCIJSON.decode(OCIResources.self, bytes, as: "'\(path)'")
        }
        var resources = OCIResources(), cpu = OCICPU(), memory = OCIMemory(), io = OCIBlockIO()
        cpu.period = try arguments.number("cpu-period")
        cpu.quota = try arguments.number("cpu-quota")
        cpu.burst = try arguments.number("cpu-burst")
        cpu.shares = try arguments.number("cpu-share")
        cpu.realtimePeriod = try arguments.number("cpu-rt-period")
        cpu.realtimeRuntime = try arguments.number("cpu-rt-runtime")
        cpu.cpus = arguments.value("cpuset-cpus")
        cpu.mems = arguments.value("cpuset-mems")
        cpu.idle = try arguments.number("cpu-idle")
        memory.limit = try bytes(arguments.value("memory"))
        memory.reservation = try bytes(arguments.value("memory-reservation"))
        memory.swap = try bytes(arguments.value("memory-swap"))
        io.weight = try arguments.number("blkio-weight")
        resources.cpu = cpu
        resources.memory = memory
        resources.blockIO = io
        if let limit = try arguments.number("pids-limit", as: Int64.self) { resources.pids = OCIPids(limit: limit) }
        return resources
    }

    /// A number of bytes, with `k`, `m`, `g` behind it or not.
    private static func bytes(_ text: String?) throws(BerthError) -> Int64? {
        guard let text else { return nil }
        let units: [Character: Int64] = ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40]
        let unit = text.lowercased().last.flatMap { units[$0] }
        let number = Int64(unit == nil ? text : String(text.dropLast()))
        let product = number?.multipliedReportingOverflow(by: unit ?? 1)
        guard let product, !product.overflow else {
            throw BerthError(.invalidArgument, "update: '\(text)' is not a number of bytes")
        }
        return product.partialValue
    }
}

/// Signals by name or number.
enum SignalNames {
    private static let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
        "IO",
        "PWR", "SYS",
    ]

    static func number(of text: String) throws(BerthError) -> Int32 {
        if let number = Int32(text), (0...64).contains(number) { return number }
        let name = text.uppercased()
        let short = name.hasPrefix("SIG") ? String(name.dropFirst(3)) : name
        if let index = names.firstIndex(of: short) { return Int32(index + 1) }
        if short.hasPrefix("RTMIN"), let offset = Int32(short.dropFirst(5).isEmpty ? "0" : short.dropFirst(6)),
            (0...30).contains(offset)
        {
            return 34 + offset
        }
        throw BerthError(.invalidArgument, "kill: signal '\(text)' is unknown")
    }
}
