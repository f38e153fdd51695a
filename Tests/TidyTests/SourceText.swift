/// Swift or C with the insides of strings and all comments blanked, line by line: what is left is code.
struct SourceText {
    let lines: [String]

    init(_ file: Repository.File) {
        var blanker = Blanker()
        lines = file.lines.map { blanker.blank($0) }
    }

    private struct Blanker {
        private enum Place: Equatable { case code, text(hashes: Int, lines: Bool), comment(depth: Int) }
        private var place = Place.code
        /// Open parentheses of interpolations, the innermost last, with the string each returns to.
        private var interpolations: [(depth: Int, place: Place)] = []

        mutating func blank(_ line: String) -> String {
            let all = Array(line)
            var out = ""
            var at = 0
            while at < all.count {
                switch place {
                case .code: at += code(all, at, &out)
                case .text(let hashes, let lines): at += text(all, at, hashes, lines, &out)
                case .comment(let depth): at += comment(all, at, depth, &out)
                }
                if out.hasSuffix("//") {
                    out.removeLast(2)
                    break
                }
            }
            if case .text(_, false) = place { place = .code }
            return out
        }

        private func has(_ word: String, _ all: [Character], _ at: Int) -> Bool {
            at + word.count <= all.count && all[at..<at + word.count].elementsEqual(word)
        }

        private mutating func code(_ all: [Character], _ at: Int, _ out: inout String) -> Int {
            if has("//", all, at) {
                out += "//"
                return 2
            }
            if has("/*", all, at) {
                place = .comment(depth: 1)
                return 2
            }
            let hashes = all[at...].prefix { $0 == "#" }.count
            if at + hashes < all.count, all[at + hashes] == "\"" {
                let long = has("\"\"\"", all, at + hashes)
                place = .text(hashes: hashes, lines: long)
                out += "\""
                return hashes + (long ? 3 : 1)
            }
            if let inner = interpolations.last {
                if all[at] == "(" { interpolations[interpolations.count - 1].depth += 1 }
                if all[at] == ")" {
                    interpolations[interpolations.count - 1].depth -= 1
                    if inner.depth == 1 {
                        interpolations.removeLast()
                        place = inner.place
                        return 1
                    }
                }
            }
            out.append(all[at])
            return 1
        }

        private mutating func text(
            _ all: [Character], _ at: Int, _ hashes: Int, _ lines: Bool, _ out: inout String
        ) -> Int {
            let marks = String(repeating: "#", count: hashes)
            let end = (lines ? "\"\"\"" : "\"") + marks
            if has(end, all, at) {
                place = .code
                out += "\""
                return end.count
            }
            if has("\\" + marks + "(", all, at) {
                interpolations.append((1, place))
                place = .code
                return marks.count + 2
            }
            return all[at] == "\\" && hashes == 0 ? 2 : 1
        }

        private mutating func comment(_ all: [Character], _ at: Int, _ depth: Int, _ out: inout String) -> Int {
            if has("*/", all, at) {
                place = depth == 1 ? .code : .comment(depth: depth - 1)
                return 2
            }
            if has("/*", all, at) {
                place = .comment(depth: depth + 1)
                return 2
            }
            return 1
        }
    }
}

/// A function of a Swift file: where it begins and ends, and how many parameters it has.
struct SwiftFunction {
    let line: Int
    let end: Int
    let parameters: Int
    /// Whether it is an initialiser: those of records have a parameter a field.
    let isInitializer: Bool

    /// The functions and initialisers with a body.
    static func all(in text: SourceText) -> [SwiftFunction] {
        var found: [SwiftFunction] = []
        var open: [(line: Int, parameters: Int)?] = []
        var pending: (line: Int, parameters: Int, depth: Int, groups: Int)?
        for (index, line) in text.lines.enumerated() {
            if declares(line) { pending = (index, 0, 0, 0) }
            var angle = 0
            for character in line {
                switch character {
                case "(", "[":
                    if pending?.depth == 0, character == "(" { pending?.groups += 1 }
                    pending?.depth += 1
                case ")", "]": pending?.depth -= 1
                case "<": angle += 1
                case ">": angle = max(0, angle - 1)
                // The first group holds the parameters; a tuple that is returned is another.
                case ":" where pending?.depth == 1 && pending?.groups == 1 && angle == 0: pending?.parameters += 1
                case "{":
                    if let function = pending, function.depth == 0 {
                        open.append((function.line, function.parameters))
                        pending = nil
                    } else {
                        open.append(nil)
                    }
                case "}":
                    // A requirement of a protocol has no body.
                    pending = nil
                    guard let last = open.popLast(), let function = last else { continue }
                    let isInitializer =
                        text.lines[function.line].contains("init")
                        && !text.lines[function.line].contains("func ")
                    found.append(
                        SwiftFunction(
                            line: function.line, end: index, parameters: function.parameters,
                            isInitializer: isInitializer))
                default: break
                }
            }
        }
        return found
    }

    private static func declares(_ line: String) -> Bool {
        let modifiers: Set<Substring> = [
            "public", "package", "internal", "fileprivate", "private", "static", "final", "override", "mutating",
            "nonmutating", "consuming", "borrowing", "nonisolated", "isolated", "convenience", "required",
            "@discardableResult",
            "nonisolated(nonsending)", "@inlinable", "@Sendable", "@Test",
        ]
        let words = line.split(separator: " ").drop { modifiers.contains($0) }
        guard let first = words.first else { return false }
        return first == "func" || first.hasPrefix("init(") || first.hasPrefix("init?(") || first.hasPrefix("init<")
            || first == "deinit"
    }
}
