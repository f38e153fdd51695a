/// The versions of what Berth is built on.
enum LibraryVersions {
    static var line: String { "berthd \(Daemon.version)" }
}
