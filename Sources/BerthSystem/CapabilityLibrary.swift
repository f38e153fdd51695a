internal import CLibcap

/// libcap; it does not tell its version at run time.
package enum CapabilityLibrary {
    /// The version that Berth was built with, e.g. `2.66`.
    package static var version: String { "\(LIBCAP_MAJOR).\(LIBCAP_MINOR)" }
}
