package import BerthBase
internal import Glibc

/// Chooses what of an index is for a platform.
package struct PlatformChoice: Sendable, Hashable {
    /// What is wanted.
    package let wanted: Platform
    /// What would do, best first.
    private let ladder: [Platform]

    package init(_ wanted: Platform) {
        self.wanted = wanted.normalized
        ladder = Self.ladder(of: wanted.normalized)
    }

    /// This host's.
    package static var host: PlatformChoice { PlatformChoice(.host) }

    /// A CPU also runs what was made for its elders.
    private static func ladder(of platform: Platform) -> [Platform] {
        func with(_ architecture: String, _ variants: [String]) -> [Platform] {
            variants.map { Platform(architecture: architecture, os: platform.os, variant: $0) }
        }
        func down(from text: String?, to lowest: Int, default number: Int) -> [String] {
            let top = text.flatMap { Int($0.dropFirst()) } ?? number
            return stride(from: top, through: min(top, lowest), by: -1).map { "v\($0)" }
        }
        switch platform.architecture {
        case "amd64": return with("amd64", down(from: platform.variant, to: 1, default: 1))
        case "arm": return with("arm", down(from: platform.variant, to: 5, default: 7))
        case "arm64":
            let own = down(from: platform.variant.map { String($0.prefix { $0 != "." }) }, to: 8, default: 8)
            return with("arm64", own) + with("arm", ["v8", "v7", "v6", "v5"])
        default: return [platform]
        }
    }

    /// How good an offer is: 0 is best; nil: it does not run here.
    package func rank(_ offered: Platform) -> Int? {
        let offered = offered.normalized
        guard offered.os == wanted.os else { return nil }
        if let version = wanted.osVersion, !version.isEmpty, let theirs = offered.osVersion, !theirs.isEmpty {
            guard theirs == version || theirs.hasPrefix(version + ".") else { return nil }
        }
        let features = Set(wanted.osFeatures ?? [])
        guard Set(offered.osFeatures ?? []).isSubset(of: features) else { return nil }
        return ladder.firstIndex { $0.architecture == offered.architecture && $0.variant == offered.variant }
    }

    /// What of an index runs here, best first; of equals, the first in the index.
    package func candidates(_ descriptors: [Descriptor]) -> [Descriptor] {
        let ranked = descriptors.enumerated().compactMap { index, descriptor -> (Int, Int, Descriptor)? in
            guard !descriptor.isAttestation, let platform = descriptor.platform, let rank = rank(platform) else {
                return nil
            }
            return (rank, index, descriptor)
        }
        return ranked.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2)
    }
}

extension Platform {
    /// This host's platform in Go's names.
    package static let host: Platform = {
        var names = utsname()
        uname(&names)
        let machine = withUnsafeBytes(of: &names.machine) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return Platform(architecture: machine, os: "linux").normalized
    }()

    /// With the usual names and the variant that is meant when none is given.
    package var normalized: Platform {
        var copy = self
        copy.os = os.lowercased()
        if copy.os == "macos" { copy.os = "darwin" }
        switch (architecture.lowercased(), variant?.lowercased() ?? "") {
        case ("x86_64", let variant), ("x86-64", let variant), ("amd64", let variant):
            (copy.architecture, copy.variant) = ("amd64", variant.isEmpty ? "v1" : variant)
        case ("aarch64", let variant), ("arm64", let variant):
            (copy.architecture, copy.variant) = ("arm64", variant.isEmpty || variant == "8" ? "v8" : variant)
        case ("armhf", _): (copy.architecture, copy.variant) = ("arm", "v7")
        case ("armel", _): (copy.architecture, copy.variant) = ("arm", "v6")
        case ("armv7l", _): (copy.architecture, copy.variant) = ("arm", "v7")
        case ("arm", let variant):
            let number = ["": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"]
            (copy.architecture, copy.variant) = ("arm", number[variant] ?? variant)
        case ("i386", _), ("i686", _): (copy.architecture, copy.variant) = ("386", nil)
        case (let other, let variant): (copy.architecture, copy.variant) = (other, variant.isEmpty ? nil : variant)
        }
        return copy
    }
}
