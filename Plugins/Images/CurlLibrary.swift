internal import CCurl

/// libcurl as it was loaded.
package enum CurlLibrary {
    /// Its version, e.g. `7.88.1`.
    package static var version: String {
        guard let info = curl_version_info(CURLVERSION_FIRST) else { return "unknown" }
        return String(cString: info.pointee.version)
    }
}
