internal import BerthBase
internal import BerthOCI
internal import BerthServices

/// The capability sets of a container's process.
enum CapabilityChoice {
    /// What a container has when nobody says otherwise: Docker's list.
    static let defaults = [
        "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
        "CAP_SYS_CHROOT",
    ]

    /// The sets by what was asked; `host` is what the daemon itself has. The inheritable set is empty but for ambient
    /// ones, which need it (CVE-2022-24769).
    /// - Throws: `invalidArgument` for an unknown name.
    static func sets(
        _ security: ContainerSecurity, host: [String], known: Set<String>
    ) throws -> OCICapabilities {
        if security.privileged { return .same(host) }
        let add = try security.addCapabilities.map { try name($0, known, "add_capabilities") }
        let drop = try security.dropCapabilities.map { try name($0, known, "drop_capabilities") }
        let ambient = try security.ambientCapabilities.map { try name($0, known, "add_ambient_capabilities") }
        // `ALL` comes first in both lists, single names after it: drop ALL and add one, add ALL and drop one.
        var names = Set(add.contains(nil) ? host : defaults)
        if drop.contains(nil) { names = [] }
        names.formUnion(add.compactMap { $0 })
        names.subtract(drop.compactMap { $0 })
        let kept = ambient.contains(nil) ? names : Set(ambient.compactMap { $0 })
        names.formUnion(kept)
        var sets = OCICapabilities.same(names.sorted())
        if !kept.isEmpty {
            sets.ambient = kept.sorted()
            sets.inheritable = kept.sorted()
        }
        return sets
    }

    /// The kernel's name; nil for `ALL`.
    private static func name(_ text: String, _ known: Set<String>, _ field: String) throws -> String? {
        let upper = text.uppercased()
        if upper == "ALL" || upper == "CAP_ALL" { return nil }
        let name = upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
        guard known.contains(name) else {
            throw BerthError(.invalidArgument, "\(field): '\(text)' is no capability of this kernel")
        }
        return name
    }
}
