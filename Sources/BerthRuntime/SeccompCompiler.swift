internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import CLibseccomp
internal import SystemPackage

/// A filter as the kernel loads it.
struct SeccompProgram {
    var program: [UInt8]
    var flags: UInt64
}

/// Turns a filter's rules into a program of the kernel's filter machine, by libseccomp.
enum SeccompCompiler {
    /// Compiles; nil if there is nothing to filter.
    ///
    /// - Throws: `invalidArgument` that names the rule or value at fault.
    static func compile(_ seccomp: OCISeccomp) throws(BerthError) -> SeccompProgram? {
        if seccomp.defaultAction == "SCMP_ACT_ALLOW" && (seccomp.syscalls ?? []).isEmpty { return nil }
        if seccomp.listenerPath != nil {
            throw BerthError(.unimplemented, "linux.seccomp.listenerPath: handing a listener over is not supported yet")
        }
        let fallback = try action(seccomp.defaultAction, seccomp.defaultErrnoRet)
        guard let filter = unsafe seccomp_init(fallback) else {
            throw BerthError(
                .invalidArgument, "linux.seccomp.defaultAction '\(seccomp.defaultAction)' is refused by libseccomp")
        }
        defer { unsafe seccomp_release(filter) }
        // SAFETY: the filter is libseccomp's, valid until the release above.
        for name in seccomp.architectures ?? [] {
            let result = unsafe seccomp_arch_add(filter, try architecture(name))
            guard result == 0 || result == -17 else { throw failed("add architecture \(name)", result) }
        }
        // A decision tree over the numbers instead of a chain: fewer steps at every system call of the container.
        _ = unsafe seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2)
        // The no_new_privs bit is set by a step of its own.
        _ = unsafe seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0)
        for rule in seccomp.syscalls ?? [] { unsafe try add(rule, to: filter, fallback) }
        return SeccompProgram(program: unsafe try export(filter), flags: try flags(seccomp.flags ?? []))
    }

    private static func add(
        _ rule: OCISyscall, to filter: scmp_filter_ctx, _ fallback: UInt32
    ) throws(BerthError) {
        let action = try action(rule.action, rule.errnoRet)
        // libseccomp refuses rules that say what the default says already.
        if action == fallback { return }
        let conditions = try (rule.args ?? []).map { argument throws(BerthError) in try condition(argument) }
        if let twice = SeccompCompiler.repeated(rule.args ?? []) {
            // libseccomp holds one condition for each argument. Taking them as alternatives, as others do, would allow
            // more than the rule says.
            throw BerthError(
                .unimplemented,
                "linux.seccomp: the rule for '\(rule.names.first ?? "")' has two conditions on argument \(twice)")
        }
        for name in rule.names {
            // SAFETY: the string and the array live through the call.
            let number = unsafe seccomp_syscall_resolve_name(name)
            if number == __NR_SCMP_ERROR { continue }  // Newer or older than this library: the default answers it.
            let result = unsafe seccomp_rule_add_array(filter, action, number, UInt32(conditions.count), conditions)
            guard result == 0 || result == -17 else { throw failed("add a rule for '\(name)'", result) }
        }
    }

    private static func repeated(_ arguments: [OCISeccompArgument]) -> UInt32? {
        var seen: Set<UInt32> = []
        return arguments.first { !seen.insert($0.index).inserted }?.index
    }

    private static func export(_ filter: scmp_filter_ctx) throws(BerthError) -> [UInt8] {
        try attempting("export the seccomp filter") { () throws(Errno) in
            let file = try MemoryFile.make("seccomp", [], sealed: false)
            // SAFETY: the filter is valid, the descriptor is open.
            let result = unsafe seccomp_export_bpf(filter, file.rawValue)
            if result < 0 { throw Errno(rawValue: -result) }
            return try Files.read("/proc/self/fd/\(file.rawValue)", limit: 1 << 20)
        }
    }

    private static func condition(_ argument: OCISeccompArgument) throws(BerthError) -> scmp_arg_cmp {
        let operations: [String: scmp_compare] = [
            "SCMP_CMP_NE": SCMP_CMP_NE, "SCMP_CMP_LT": SCMP_CMP_LT, "SCMP_CMP_LE": SCMP_CMP_LE,
            "SCMP_CMP_EQ": SCMP_CMP_EQ, "SCMP_CMP_GE": SCMP_CMP_GE, "SCMP_CMP_GT": SCMP_CMP_GT,
            "SCMP_CMP_MASKED_EQ": SCMP_CMP_MASKED_EQ,
        ]
        guard let operation = operations[argument.op], argument.index < 6 else {
            throw BerthError(.invalidArgument, "linux.seccomp: argument \(argument.index) '\(argument.op)' is unknown")
        }
        // For the masked comparison the first value is the mask and the second what must remain.
        return scmp_arg_cmp(
            arg: argument.index, op: operation, datum_a: argument.value, datum_b: argument.valueTwo ?? 0)
    }

    private static func action(_ name: String, _ number: UInt32?) throws(BerthError) -> UInt32 {
        let value = (number ?? 1) & 0xffff
        switch name {
        case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD": return 0
        case "SCMP_ACT_KILL_PROCESS": return 0x8000_0000
        case "SCMP_ACT_TRAP": return 0x3_0000
        case "SCMP_ACT_ERRNO": return 0x5_0000 | value
        case "SCMP_ACT_TRACE": return 0x7ff0_0000 | value
        case "SCMP_ACT_LOG": return 0x7ffc_0000
        case "SCMP_ACT_ALLOW": return 0x7fff_0000
        case "SCMP_ACT_NOTIFY":
            throw BerthError(.unimplemented, "linux.seccomp: action SCMP_ACT_NOTIFY is not supported yet")
        default: throw BerthError(.invalidArgument, "linux.seccomp: action '\(name)' is unknown")
        }
    }

    private static func architecture(_ name: String) throws(BerthError) -> UInt32 {
        let short = name.hasPrefix("SCMP_ARCH_") ? String(name.dropFirst(10)).lowercased() : name
        // SAFETY: the string lives through the call.
        let token = unsafe seccomp_arch_resolve_name(short)
        guard token != 0 else { throw BerthError(.invalidArgument, "linux.seccomp: architecture '\(name)' is unknown") }
        return token
    }

    private static func flags(_ names: [String]) throws(BerthError) -> UInt64 {
        var flags: UInt64 = 0
        for name in names {
            switch name {
            case "SECCOMP_FILTER_FLAG_TSYNC": flags |= 1
            case "SECCOMP_FILTER_FLAG_LOG": flags |= 2
            case "SECCOMP_FILTER_FLAG_SPEC_ALLOW": flags |= 4
            case "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": flags |= 32
            default: throw BerthError(.invalidArgument, "linux.seccomp: flag '\(name)' is unknown")
            }
        }
        return flags
    }

    private static func failed(_ what: String, _ result: Int32) -> BerthError {
        BerthError(Errno(rawValue: -result), "compile the seccomp filter: \(what)")
    }
}
