internal import CSQLite

/// libsqlite3 as it was loaded.
package enum SQLiteLibrary {
    /// Its version, e.g. `3.40.1`.
    package static var version: String {
        // SAFETY: the text is a constant of the library.
        unsafe String(cString: sqlite3_libversion())
    }
}
