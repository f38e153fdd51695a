internal import BerthBase
internal import BerthOCI
internal import BerthSystem
internal import CBerthSystem
internal import Glibc
internal import SystemPackage

/// Which devices a cgroup may use; on v2 as a program of the kernel's own.
enum DeviceRules {
    /// What every container may use, whatever the rules say: the default devices, terminals, and making any node.
    static let always = [
        "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm",
        "c 5:2 rwm", "c 136:* rwm",
    ]

    private struct Rule {
        var allow: Bool
        /// 1 block, 2 character, 3 both.
        var type: UInt32
        /// 1 mknod, 2 read, 4 write.
        var access: UInt32
        var major: Int64?
        var minor: Int64?
    }

    /// Loads a program for the rules and attaches it to a cgroup's directory.
    static func attach(_ rules: [OCIDeviceRule], to directory: String) throws(BerthError) {
        let code = program(rules.map(rule) + always.compactMap(parse))
        try attempting("attach the device rules to '\(directory)'") { () throws(Errno) in
            let cgroup = try Files.open(directory, O_RDONLY | O_DIRECTORY)
            let loaded = try load(code)
            var attr: [UInt32] = [UInt32(cgroup.rawValue), UInt32(loaded.rawValue), 6, 2, 0]
            // SAFETY: BPF_PROG_ATTACH reads these five words: target, program, BPF_CGROUP_DEVICE, ALLOW_MULTI,
            // replaced.
            let result = unsafe attr.withUnsafeMutableBytes { unsafe berth_bpf(8, $0.baseAddress, UInt32($0.count)) }
            if result < 0 { throw Errno(rawValue: -result) }
        }
    }

    private static func load(_ code: [UInt64]) throws(Errno) -> OwnedFD {
        let license: [UInt8] = Array("GPL".utf8) + [0]
        // SAFETY: BPF_PROG_LOAD reads the instructions and the licence during the call only.
        let result = unsafe code.withUnsafeBytes { code in
            unsafe license.withUnsafeBytes { license in
                var attr: [UInt64] = [0, 0, 0, 0, 0, 0]
                attr[0] = 15 | UInt64(code.count / 8) << 32  // BPF_PROG_TYPE_CGROUP_DEVICE
                attr[1] = UInt64(UInt(bitPattern: code.baseAddress))
                attr[2] = UInt64(UInt(bitPattern: license.baseAddress))
                return unsafe attr.withUnsafeMutableBytes { unsafe berth_bpf(5, $0.baseAddress, UInt32($0.count)) }
            }
        }
        if result < 0 { throw Errno(rawValue: -result) }
        return OwnedFD(result)
    }

    private static func rule(_ rule: OCIDeviceRule) -> Rule {
        let types: [String: UInt32] = ["c": 2, "b": 1]
        var access: UInt32 = 0
        for letter in rule.access ?? "rwm" { access |= letter == "m" ? 1 : letter == "r" ? 2 : 4 }
        let type = types[rule.type ?? "a"] ?? 3
        return Rule(
            allow: rule.allow, type: type, access: type == 3 ? 7 : access,
            major: rule.major.flatMap { $0 < 0 || type == 3 ? nil : $0 },
            minor: rule.minor.flatMap { $0 < 0 || type == 3 ? nil : $0 })
    }

    private static func parse(_ line: String) -> Rule? {
        let parts = line.split(whereSeparator: { $0 == " " || $0 == ":" }).map(String.init)
        guard parts.count == 4 else { return nil }
        return rule(
            OCIDeviceRule(
                allow: true, type: parts[0], major: Int64(parts[1]), minor: Int64(parts[2]), access: parts[3]))
    }

    // MARK: the program

    private static func instruction(
        _ code: UInt64, _ to: UInt64 = 0, _ from: UInt64 = 0, offset: Int16 = 0, value: Int32 = 0
    ) -> UInt64 {
        code | to << 8 | from << 12 | UInt64(UInt16(bitPattern: offset)) << 16 | UInt64(UInt32(bitPattern: value)) << 32
    }

    /// The last rule that matches wins, so they are tried from the last one; a request no rule matches is refused.
    ///
    /// r2 is the type, r3 the access, r4 and r5 the numbers. Source: struct bpf_cgroup_dev_ctx.
    private static func program(_ rules: [Rule]) -> [UInt64] {
        var code = [
            instruction(0x61, 2, 1, offset: 0), instruction(0xbc, 3, 2), instruction(0x54, 2, value: 0xffff),
            instruction(0x74, 3, value: 16), instruction(0x61, 4, 1, offset: 4), instruction(0x61, 5, 1, offset: 8),
        ]
        for rule in rules.reversed() { code += block(rule) }
        return code + [instruction(0xb7, 0, value: 0), instruction(0x95)]
    }

    /// The rule's conditions, each of which jumps over the rest of the block if it fails, and its verdict.
    private static func block(_ rule: Rule) -> [UInt64] {
        var parts: [(UInt64, Int32)] = []  // A comparison's code with its register, and the value.
        var body: [UInt64] = []
        if rule.type != 3 { parts.append((0x55 | 2 << 8, Int32(rule.type))) }
        if let major = rule.major { parts.append((0x55 | 4 << 8, Int32(truncatingIfNeeded: major))) }
        if let minor = rule.minor { parts.append((0x55 | 5 << 8, Int32(truncatingIfNeeded: minor))) }
        let accessCode: [UInt64] =
            rule.access == 7
            ? [] : [instruction(0xbc, 1, 3), instruction(0x54, 1, value: Int32(7 & ~rule.access))]
        let accessJump = accessCode.isEmpty ? 0 : 1
        let verdict = [instruction(0xb7, 0, value: rule.allow ? 1 : 0), instruction(0x95)]
        let total = parts.count + accessCode.count + accessJump + verdict.count
        for (code, value) in parts {
            body.append(code | UInt64(UInt16(total - body.count - 1)) << 16 | UInt64(UInt32(bitPattern: value)) << 32)
        }
        body += accessCode
        // An allowing rule needs all the asked access to be within its own, a denying one any of it.
        let jump: UInt64 = rule.allow ? 0x55 : 0x15
        if accessJump == 1 { body.append(instruction(jump, 1, offset: Int16(total - body.count - 1), value: 0)) }
        return body + verdict
    }
}
