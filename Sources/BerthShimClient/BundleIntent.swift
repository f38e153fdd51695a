internal import BerthBase

/// What a bundle was made for, written before anything else happens: after a crash it says what to adopt or undo.
package struct BundleIntent: Sendable, Hashable {
    /// The file's name.
    package static let file = "intent.json"
    /// The name of an empty file that exists once the bundle's task or sandbox is made in its shim.
    package static let made = "made"

    /// What lives in a bundle.
    package enum Kind: String, Sendable {
        /// A sandbox with a shim of its own.
        case sandbox
        /// A container: in its sandbox's shim, or with one of its own.
        case task
    }

    package var kind: Kind
    /// The runtime of the bundle's own shim; empty when it has none.
    package var runtime: String
    /// The sandbox whose shim runs the task; empty: a shim of its own.
    package var sandbox: String

    package init(kind: Kind, runtime: String, sandbox: String = "") {
        self.kind = kind
        self.runtime = runtime
        self.sandbox = sandbox
    }

    /// - Throws: `dataLoss` for a record that says nothing.
    package init(record: [UInt8]) throws {
        let json = try JSONValue(parsing: record)
        guard let kind = Kind(rawValue: json["kind"]?.string ?? "") else {
            throw BerthError(.dataLoss, "the intent of a bundle is damaged")
        }
        self.kind = kind
        runtime = json["runtime"]?.string ?? ""
        sandbox = json["sandbox"]?.string ?? ""
    }

    package var record: [UInt8] {
        JSONValue.object([
            "kind": .string(kind.rawValue), "runtime": .string(runtime), "sandbox": .string(sandbox),
        ]).encoded()
    }
}
