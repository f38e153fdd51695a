internal import BerthBase

/// The command line of a shim, in the manner of Go's `flag`. Source: containerd's runtime v2 documentation.
struct ShimArguments: Hashable {
    enum Action: Hashable {
        case start, delete
        /// `-v`.
        case version
        /// `-info`: what this runtime is, for `containerd`'s introspection.
        case info
    }

    var action: Action
    var namespace = ""
    var id = ""
    var address = ""
    var publisher = ""
    var socket = ""
    var bundle = ""
    var debug = false

    /// - Throws: `invalidArgument` that names the word at fault.
    init(_ words: [String]) throws(BerthError) {
        var rest = words[...]
        var asked: Action?
        action = .version
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word != "-" else {
                asked = try ShimArguments.action(word)
                guard rest.isEmpty else {
                    throw BerthError(.invalidArgument, "unexpected '\(rest.first ?? "")' after '\(word)'")
                }
                break
            }
            let (name, given) = ShimArguments.split(word)
            switch name {
            case "v", "version": asked = .version
            case "info": asked = .info
            case "debug": debug = given != "false"
            default: try set(name, given ?? rest.popFirst(), word)
            }
        }
        guard let asked else {
            throw BerthError(
                .invalidArgument, "no action: this program is started by containerd or berthd (start, delete)")
        }
        action = asked
        guard asked == .start || asked == .delete else { return }
        guard !namespace.isEmpty else { throw BerthError(.invalidArgument, "-namespace is missing") }
        guard !id.isEmpty else { throw BerthError(.invalidArgument, "-id is missing") }
    }

    private static func split(_ word: String) -> (String, String?) {
        let name = word.drop { $0 == "-" }
        guard let equals = name.firstIndex(of: "=") else { return (String(name), nil) }
        return (String(name[..<equals]), String(name[name.index(after: equals)...]))
    }

    private static func action(_ word: String) throws(BerthError) -> Action {
        switch word {
        case "start": return .start
        case "delete": return .delete
        default: throw BerthError(.invalidArgument, "unknown action '\(word)': it is start or delete")
        }
    }

    private mutating func set(_ name: String, _ value: String?, _ word: String) throws(BerthError) {
        guard let value else { throw BerthError(.invalidArgument, "option '\(word)' needs a value") }
        switch name {
        case "namespace": namespace = value
        case "id": id = value
        case "address": address = value
        case "publish-binary": publisher = value
        case "socket": socket = value
        case "bundle": bundle = value
        default: throw BerthError(.invalidArgument, "unknown option '\(word)'")
        }
    }
}
