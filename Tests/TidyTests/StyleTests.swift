import Testing

/// House rules that need the code without its comments and strings.
@Suite struct StyleTests {
    /// A file with what was made of it once for all rules.
    struct Source {
        let file: Repository.File
        let text: SourceText
        let functions: [SwiftFunction]
        var path: String { file.path }
        var lines: [String] { file.lines }

        static func all(in folders: [String], _ suffix: String) -> [Source] {
            Repository().files(in: folders, suffixes: [suffix]).map { file in
                let text = SourceText(file)
                return Source(file: file, text: text, functions: suffix == ".swift" ? SwiftFunction.all(in: text) : [])
            }
        }
    }
    static let allSwift = Source.all(in: ["Sources", "Plugins"], ".swift")
    static let allTests = Source.all(in: ["Tests"], ".swift")
    static let allC = Source.all(in: ["Sources"], ".c")
    var swift: [Source] { Self.allSwift }
    var tests: [Source] { Self.allTests }
    var c: [Source] { Self.allC }

    private func expectNone(_ problems: [String]) {
        let text = problems.sorted().prefix(60).joined(separator: "\n")
        #expect(problems.isEmpty, "\(problems.count) problems:\n\(text)")
    }

    private func code(in files: [Source], _ rule: String, where breaks: (String) -> Bool) -> [String] {
        files.flatMap { file in
            file.text.lines.enumerated().filter { breaks($0.element) }
                .map { "\(file.path):\($0.offset + 1): error: \(rule)" }
        }
    }

    @Test func `functions are at most 60 lines`() {
        expectNone(
            (swift + tests).flatMap { file in
                file.functions.filter { $0.end - $0.line >= 60 }
                    .map { "\(file.path):\($0.line + 1): error: a function of \($0.end - $0.line + 1) lines" }
            })
    }

    @Test func `functions have at most six parameters`() {
        // A step of the init plan has this many fields, as `berth-init` reads them.
        let steps = "Sources/BerthRuntime/InitPlan.swift"
        expectNone(
            swift.filter { $0.path != steps }.flatMap { file in
                file.functions.filter { $0.parameters > 6 && !$0.isInitializer }
                    .map { "\(file.path):\($0.line + 1): error: \($0.parameters) parameters" }
            })
    }

    @Test func `functions in C are at most 60 lines`() {
        expectNone(
            c.flatMap { file -> [String] in
                var problems: [String] = []
                var start: Int?
                for (index, line) in file.lines.enumerated() {
                    if line == "{" { start = index }
                    if line == "}", let begin = start {
                        if index - begin > 61 {
                            problems.append(
                                "\(file.path):\(begin + 1): error: a function of \(index - begin - 1) lines")
                        }
                        start = nil
                    }
                }
                return problems
            })
    }

    @Test func `C calls nothing without a bound`() {
        let bans = ["strcpy(", "strcat(", "sprintf(", "gets(", "system(", "alloca(", "popen("]
        expectNone(
            code(in: c, "an unbounded or shell call") { line in
                bans.contains { ban in
                    line.firstRange(of: ban).map { range in
                        range.lowerBound == line.startIndex
                            || !(line[line.index(before: range.lowerBound)].isLetter
                                || "_".contains(line[line.index(before: range.lowerBound)]))
                    } ?? false
                }
            })
    }

    @Test func `imports carry an access level`() {
        expectNone(
            code(in: swift, "an import without internal, package or public") { line in
                line.hasPrefix("import ") || line.hasPrefix("@preconcurrency import ")
            })
    }

    @Test func `nothing is unwrapped by force`() {
        expectNone(
            code(in: swift, "'!' behind a value") { line in
                let all = Array(line)
                return all.indices.contains { index in
                    guard index > 0, all[index] == "!" else { return false }
                    let before = all[index - 1]
                    let after = index + 1 < all.count ? all[index + 1] : " "
                    return (before.isLetter || before.isNumber || ")]_\"".contains(before)) && after != "="
                }
            })
    }

    @Test func `public is for plugin authors`() {
        let libraries = [
            "Sources/BerthBase/", "Sources/BerthKernel/", "Sources/BerthServices/", "Sources/BerthConformance/",
            // What a service on the daemon's socket is made of, and the daemon's two names.
            "Sources/BerthGRPC/", "Sources/BerthOCI/", "Sources/BerthDaemon/Daemon.swift",
            "Sources/BerthDaemon/Builtins.swift",
        ]
        let others = swift.filter { file in !libraries.contains { file.path.hasPrefix($0) } }
        expectNone(
            code(in: others, "public outside the libraries for plugin authors") { line in
                let words = line.split(separator: " ")
                return words.first == "public" && words.dropFirst().first != "import"
            })
    }

    @Test func `tests are sentences`() {
        let names = tests.flatMap { file in
            file.lines.enumerated().compactMap { index, line -> String? in
                let words = line.drop { $0 == " " }
                guard words.hasPrefix("@Test") else { return nil }
                // The function may stand on a later line, behind arguments and traits.
                let rest = file.lines[index...].prefix(40).first { $0.contains("func ") } ?? ""
                return rest.contains("func `")
                    ? nil : "\(file.path):\(index + 1): error: a test without a sentence for a name"
            }
        }
        expectNone(names)
    }

    @Test func `unsafe code says why it is safe`() {
        expectNone(
            swift.flatMap { file -> [String] in
                let code = file.text.lines
                let functions = file.functions
                return code.enumerated().compactMap { index, line in
                    guard line.split(whereSeparator: { !$0.isLetter && $0 != "_" }).contains("unsafe") else {
                        return nil
                    }
                    // In the function, in the lines above it, or for the whole type or file.
                    let around = functions.filter { $0.line <= index && index <= $0.end }.max { $0.line < $1.line }
                    let near = file.lines[max(0, (around?.line ?? index) - 8)...(around?.end ?? index)]
                    return near.contains { $0.contains("SAFETY") }
                        || file.lines.prefix(40).contains { $0.contains("SAFETY") }
                        ? nil : "\(file.path):\(index + 1): error: unsafe without a SAFETY: comment"
                }
            })
    }
}
