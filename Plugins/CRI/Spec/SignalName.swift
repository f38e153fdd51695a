internal import BerthBase

/// Signals by name, as images and requests write them: `SIGTERM`, `term`, `15`, `RTMIN+3`.
enum SignalName {
    private static let standard: [(String, Int32)] = [
        ("ABRT", 6), ("ALRM", 14), ("BUS", 7), ("CHLD", 17), ("CLD", 17), ("CONT", 18), ("FPE", 8), ("HUP", 1),
        ("ILL", 4), ("INT", 2), ("IO", 29), ("IOT", 6), ("KILL", 9), ("PIPE", 13), ("POLL", 29), ("PROF", 27),
        ("PWR", 30), ("QUIT", 3), ("SEGV", 11), ("STKFLT", 16), ("STOP", 19), ("SYS", 31), ("TERM", 15), ("TRAP", 5),
        ("TSTP", 20), ("TTIN", 21), ("TTOU", 22), ("URG", 23), ("USR1", 10), ("USR2", 12), ("VTALRM", 26),
        ("WINCH", 28), ("XCPU", 24), ("XFSZ", 25),
    ]
    /// The C library keeps the first two real-time signals of the kernel for itself.
    private static let rtMin: Int32 = 34
    private static let rtMax: Int32 = 64

    /// - Throws: `invalidArgument` for what is no signal.
    static func number(_ text: String) throws -> Int32 {
        if let number = Int32(text) {
            guard (1...rtMax).contains(number) else { throw unknown(text) }
            return number
        }
        let upper = text.uppercased()
        let name = upper.hasPrefix("SIG") ? String(upper.dropFirst(3)) : upper
        if let known = standard.first(where: { $0.0 == name }) { return known.1 }
        let bases: [(String, Int32, Int32)] = [("RTMIN", rtMin, 1), ("RTMAX", rtMax, -1)]
        for (base, first, step) in bases where name.hasPrefix(base) {
            let rest = name.dropFirst(base.count)
            if rest.isEmpty { return first }
            guard rest.first == (step == 1 ? "+" : "-"), let offset = Int32(rest.dropFirst()), offset >= 0,
                (rtMin...rtMax).contains(first + step * offset)
            else { throw unknown(text) }
            return first + step * offset
        }
        throw unknown(text)
    }

    /// The name of a number, `SIGTERM` or `SIGRTMIN+3`.
    static func name(of number: Int32) -> String {
        if let known = standard.first(where: { $0.1 == number }) { return "SIG" + known.0 }
        if number == rtMin { return "SIGRTMIN" }
        if number == rtMax { return "SIGRTMAX" }
        return number <= rtMin + 15 ? "SIGRTMIN+\(number - rtMin)" : "SIGRTMAX-\(rtMax - number)"
    }

    private static func unknown(_ text: String) -> BerthError {
        BerthError(.invalidArgument, "'\(text)' is no signal of this kernel")
    }
}
