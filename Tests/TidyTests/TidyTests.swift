import Testing

/// The house rules, held by the build. A failure reads `path:line: error: …`.
@Suite struct TidyTests {
    let swift = Repository().files(in: ["Sources", "Plugins"], suffixes: [".swift"])
    let c = Repository().files(in: ["Sources"], suffixes: [".c", ".h"])

    private func expectNone(_ problems: [String]) {
        let text = problems.prefix(40).joined(separator: "\n")
        #expect(problems.isEmpty, "\(problems.count) problems:\n\(text)")
    }

    private func lines(
        in files: [Repository.File], _ rule: String, where breaks: (Substring, Repository.File) -> Bool
    ) -> [String] {
        files.flatMap { file in
            file.lines.enumerated().compactMap { index, line in
                let code = line.drop { $0 == " " }
                return !code.hasPrefix("//") && breaks(code, file) ? "\(file.path):\(index + 1): error: \(rule)" : nil
            }
        }
    }

    @Test func `the repository has sources to check`() {
        #expect(swift.count > 50)
        #expect(c.count > 3)
    }

    @Test func `files are at most 400 lines`() {
        expectNone(
            (swift + c).filter { $0.lines.count > 400 }.map {
                "\($0.path):\($0.lines.count): error: longer than 400 lines"
            })
    }

    @Test func `lines are at most 120 columns`() {
        expectNone(
            (swift + c).flatMap { file in
                file.lines.enumerated().filter { $0.element.count > 120 }
                    .map { "\(file.path):\($0.offset + 1): error: longer than 120 columns" }
            })
    }

    @Test func `nothing is forced`() {
        let bans = ["try!", "as!", "Task.detached", "fatalError("]
        expectNone(
            lines(in: swift, "try!, as!, Task.detached and fatalError are banned") { line, _ in
                bans.contains { line.contains($0) }
            })
    }

    @Test func `Foundation is imported nowhere`() {
        expectNone(
            lines(in: swift, "Foundation is banned; FoundationEssentials is for JSON") { line, _ in
                line.hasSuffix("import Foundation")
            })
    }

    @Test func `daemons do not print`() {
        let tools = [
            "Sources/berth/", "Sources/berth-oci/", "Sources/BerthTestSupport/", "Sources/BerthDaemon/Commands",
        ]
        expectNone(
            lines(in: swift, "print is for command-line tools") { line, file in
                (line.hasPrefix("print(") || line.contains(" print("))
                    && !tools.contains { file.path.hasPrefix($0) }
            })
    }

    @Test func `unchecked Sendable says why`() {
        let problems = swift.flatMap { file in
            file.lines.enumerated().compactMap { index, line -> String? in
                guard line.contains("@unchecked Sendable") else { return nil }
                let above = file.lines[max(0, index - 6)..<index].joined()
                return above.contains("SAFETY:") ? nil : "\(file.path):\(index + 1): error: no SAFETY: comment above"
            }
        }
        expectNone(problems)
    }

    @Test func `a C module is imported by one Swift module`() {
        var importers: [String: Set<String>] = [:]
        for file in swift {
            let module = file.path.split(separator: "/").prefix(2).joined(separator: "/")
            for line in file.lines {
                guard let name = line.split(separator: " ").last, line.contains("import C"), !line.hasPrefix("//")
                else { continue }
                importers[String(name), default: []].insert(module)
            }
        }
        let shared = importers.filter { $0.key != "CBerthSystem" && $0.value.count > 1 }
        expectNone(shared.map { "\($0.key): error: imported by \($0.value.sorted().joined(separator: ", "))" })
    }

    @Test func `plugin families do not import each other`() {
        expectNone(
            lines(in: swift.filter { $0.path.hasPrefix("Plugins/") }, "a family imports another family") { line, _ in
                line.contains("import ") && line.hasSuffix("Plugins")
            })
    }

    @Test func `shim and runtime import neither kernel nor Foundation`() {
        let small = swift.filter {
            $0.path.hasPrefix("Sources/BerthShim/") || $0.path.hasPrefix("Sources/BerthRuntime/")
        }
        let bans = ["BerthKernel", "BerthServices", "BerthGRPC", "NIO", "SwiftProtobuf"]
        expectNone(
            lines(in: small, "too heavy for the shim") { line, _ in
                line.contains("import ") && bans.contains { line.hasSuffix($0) }
            })
    }

    @Test func `names say what a thing is`() {
        let vague = ["Impl", "Helper", "Utils", "Util"]
        expectNone(
            lines(in: swift, "Impl, Helper and Utils say nothing") { line, _ in
                ["struct ", "class ", "actor ", "enum ", "protocol "].contains { keyword in
                    guard let range = line.firstRange(of: keyword) else { return false }
                    let name = line[range.upperBound...].prefix { $0.isLetter || $0.isNumber }
                    return vague.contains { name.hasSuffix($0) } && name != "UnpackHelper"
                }
            })
    }

    @Test func `public declarations are documented`() {
        let libraries = [
            "Sources/BerthBase/", "Sources/BerthKernel/", "Sources/BerthServices/", "Sources/BerthConformance/",
        ]
        let problems = swift.filter { file in libraries.contains { file.path.hasPrefix($0) } }.flatMap { file in
            file.lines.enumerated().compactMap { index, line -> String? in
                let code = line.drop { $0 == " " }
                let declares =
                    code.hasPrefix("public ") && !code.contains("import ") && !code.hasPrefix("public extension")
                guard declares else { return nil }
                var above = index - 1
                while above >= 0, file.lines[above].drop(while: { $0 == " " }).hasPrefix("@") { above -= 1 }
                let documented = above >= 0 && file.lines[above].drop { $0 == " " }.hasPrefix("///")
                return documented ? nil : "\(file.path):\(index + 1): error: public without a doc comment"
            }
        }
        expectNone(problems)
    }
}
