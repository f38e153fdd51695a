internal import BerthBase
internal import BerthOCI
internal import BerthSystem

/// Runs hooks in the runtime's own namespaces.
enum Hooks {
    /// The time limit of a hook that names none.
    static let patience = Duration.seconds(600)

    /// Runs hooks in order; the first that fails ends the row.
    static func run(_ hooks: [OCIHook]?, _ kind: String, state: OCIState) throws(BerthError) {
        for hook in hooks ?? [] {
            let input = try OCIJSON.encode(state)
            let limit = hook.timeout.map { Duration.seconds(max($0, 1)) } ?? patience
            // The first argument is the program's name for itself, which the spawn sets to the path.
            let command = ChildProcess.Command(
                hook.path, Array((hook.args ?? []).dropFirst()), environment: hook.env ?? [], input: input,
                deadline: limit)
            let outcome: ChildProcess.Outcome
            do { outcome = try ChildProcess.run(command) } catch {
                throw BerthError.wrapping(error).during("\(kind) hook '\(hook.path)'")
            }
            guard outcome.status == 0 else {
                let words = String(decoding: outcome.errors.suffix(400), as: UTF8.self)
                throw BerthError(
                    .failedPrecondition, "\(kind) hook '\(hook.path)' ended with status \(outcome.status): \(words)")
            }
        }
    }

    /// Runs hooks whose failure changes nothing any more; what failed comes back as warnings.
    static func runAll(_ hooks: [OCIHook]?, _ kind: String, state: OCIState) -> [String] {
        var warnings: [String] = []
        for hook in hooks ?? [] {
            do { try run([hook], kind, state: state) } catch { warnings.append(error.description) }
        }
        return warnings
    }
}
