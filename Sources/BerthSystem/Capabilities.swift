internal import CLibcap
internal import Glibc

/// Capability names and their bits.
package enum Capabilities {
    /// The bit's number of a name like `CAP_KILL`; nil if libcap and the running kernel do not know it.
    package static func number(of name: String) -> Int? {
        var value: cap_value_t = 0
        // SAFETY: the string and the number live through the call.
        guard unsafe cap_from_name(name.lowercased(), &value) == 0, value <= last else { return nil }
        return Int(value)
    }

    /// The name of a bit, e.g. `CAP_KILL`.
    package static func name(of number: Int) -> String? {
        // SAFETY: libcap allocates the name; it is copied, then freed.
        guard let name = unsafe cap_to_name(cap_value_t(number)) else { return nil }
        defer { unsafe cap_free(name) }
        return unsafe String(cString: name).uppercased()
    }

    /// The highest capability of the running kernel.
    package static let last: Int32 = cap_max_bits() - 1

    /// The bounding set of the caller: what a container can be given at most.
    package static func bounding() -> UInt64 {
        (0...Int(last)).reduce(0) { mask, bit in
            cap_get_bound(cap_value_t(bit)) == 1 ? mask | (1 << UInt64(bit)) : mask
        }
    }

    /// All names the running kernel has.
    package static var all: [String] { (0...Int(last)).compactMap(name(of:)) }
}
