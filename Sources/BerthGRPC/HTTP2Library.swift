internal import CNghttp2

/// libnghttp2 as it was loaded.
package enum HTTP2Library {
    /// Its version, e.g. `1.52.0`.
    package static var version: String {
        // SAFETY: the structure and its text are constants of the library.
        guard let info = unsafe nghttp2_version(0) else { return "unknown" }
        return unsafe String(cString: info.pointee.version_str)
    }
}
