internal import BerthBase

/// A command's options by a table: a parser of its own, as start-up time is what this program is about.
struct Arguments {
    /// One option.
    struct Option {
        let name: String
        let short: Character?
        let takesValue: Bool

        init(_ name: String, _ short: Character? = nil, value: Bool = true) {
            self.name = name
            self.short = short
            takesValue = value
        }
        /// An option that is there or not.
        static func flag(_ name: String, _ short: Character? = nil) -> Option { Option(name, short, value: false) }
    }

    private var values: [String: [String]] = [:]
    private(set) var operands: [String] = []
    private let command: String

    /// Parses until the first operand if `stopsAtOperand`, or until `operandLimit` operands: what comes after them
    /// belongs to somebody else.
    init(
        _ words: ArraySlice<String>, _ options: [Option], command: String, operandLimit: Int = .max
    ) throws(BerthError) {
        self.command = command
        var rest = words
        while let word = rest.popFirst() {
            if operands.count >= operandLimit || !word.hasPrefix("-") || word == "-" {
                operands.append(word)
                if operands.count >= operandLimit {
                    operands += rest
                    return
                }
            } else if word == "--" {
                operands += rest
                return
            } else {
                try take(word, options, &rest)
            }
        }
    }

    private mutating func take(
        _ word: String, _ options: [Option], _ rest: inout ArraySlice<String>
    ) throws(BerthError) {
        var name = String(word.drop { $0 == "-" })
        var value: String?
        if let equals = name.firstIndex(of: "=") {
            value = String(name[name.index(after: equals)...])
            name = String(name[..<equals])
        }
        let known = options.first { $0.name == name || (name.count == 1 && $0.short == name.first) }
        guard let known else { throw BerthError(.invalidArgument, "\(command): unknown option '\(word)'") }
        if known.takesValue, value == nil { value = rest.popFirst() }
        guard let value = known.takesValue ? value : (value ?? "true") else {
            throw BerthError(.invalidArgument, "\(command): option '\(word)' needs a value")
        }
        values[known.name, default: []].append(value)
    }

    func has(_ name: String) -> Bool { values[name].map { $0.last != "false" } ?? false }
    func value(_ name: String) -> String? { values[name]?.last }
    func all(_ name: String) -> [String] { values[name] ?? [] }

    /// An option's number.
    func number<T: FixedWidthInteger>(_ name: String, as type: T.Type = T.self) throws(BerthError) -> T? {
        guard let text = value(name) else { return nil }
        guard let number = T(text) else {
            throw BerthError(.invalidArgument, "\(command): --\(name) '\(text)' is not a number")
        }
        return number
    }

    /// The one operand.
    func id() throws(BerthError) -> String {
        guard let first = operands.first, !first.isEmpty else {
            throw BerthError(.invalidArgument, "\(command): the container's id is missing")
        }
        return first
    }

    func noMore(than count: Int) throws(BerthError) {
        guard operands.count <= count else {
            throw BerthError(.invalidArgument, "\(command): unexpected '\(operands[count])'")
        }
    }
}
