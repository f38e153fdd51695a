internal import CCrypto

/// OpenSSL's libcrypto as it was loaded.
package enum CryptoLibrary {
    /// Its version, e.g. `3.0.17`.
    package static var version: String {
        // SAFETY: the text is a constant of the library. OPENSSL_VERSION_STRING is 6.
        unsafe String(cString: OpenSSL_version(6))
    }
}
