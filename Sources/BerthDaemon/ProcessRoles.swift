internal import BerthArchive
internal import Glibc

extension Daemon {
    /// Programs that the daemon runs as another process of its own file, by their first argument.
    private static var roles: [String: @Sendable ([String]) -> Int32] {
        [UnpackHelper.command: { UnpackHelper.main($0) }]
    }

    /// Runs the role this process was started for, if any; returns otherwise.
    static func runProcessRole() {
        let arguments = CommandLine.arguments
        guard arguments.count > 1, let role = roles[arguments[1]] else { return }
        exit(role(Array(arguments.dropFirst(2))))
    }
}
