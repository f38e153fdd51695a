import Glibc
import Testing

/// The pages: their links lead somewhere, and every subsystem is on the map.
@Suite struct DocsTests {
    let repository = Repository()
    let pages = Repository().files(in: ["docs", "."], suffixes: [".md"]).filter { !$0.path.hasPrefix("./.") }

    private func exists(_ path: String) -> Bool { access("\(repository.root)/\(path)", F_OK) == 0 }

    private func expectNone(_ problems: [String]) {
        #expect(problems.isEmpty, "\(problems.count) problems:\n\(problems.sorted().joined(separator: "\n"))")
    }

    /// The targets of `[text](target)` on a line.
    private func links(_ line: String) -> [String] {
        line.split(separator: "](").dropFirst().compactMap { part in
            part.split(separator: ")", omittingEmptySubsequences: false).first.map(String.init)
        }
    }

    @Test func `links lead to files that exist`() {
        let own = pages.filter { $0.path.hasPrefix("docs/") || $0.path.split(separator: "/").count == 2 }
        #expect(own.count > 10)
        expectNone(
            own.flatMap { page in
                page.lines.enumerated().flatMap { index, line in
                    links(line).filter { !$0.contains("://") && !$0.hasPrefix("#") && !$0.isEmpty }.compactMap { link in
                        let folder = page.path.split(separator: "/").dropLast().joined(separator: "/")
                        let target = link.split(separator: "#").first.map(String.init) ?? link
                        return exists("\(folder)/\(target)")
                            ? nil : "\(page.path):\(index + 1): error: '\(link)' leads nowhere"
                    }
                }
            })
    }

    @Test func `the three doors and the map are there`() {
        let wanted = [
            "README.md", "CONTRIBUTING.md", "LICENSE", "config.toml", "docs/getting-started.md", "docs/kubernetes.md",
            "docs/plugin-author.md", "docs/architecture.md", "docs/configuration.md", "docs/compatibility.md",
            "docs/decisions/README.md",
        ]
        expectNone(wanted.filter { !exists($0) }.map { "\($0):1: error: missing" })
    }

    @Test func `every module is on the map`() {
        let map = repository.read("docs/architecture.md").joined(separator: "\n")
        let code = repository.files(in: ["Sources", "Plugins"], suffixes: [".swift", ".c"])
        let modules = Set(code.map { $0.path.split(separator: "/").prefix(2).joined(separator: "/") })
        #expect(modules.count > 25)
        // Wrapped libraries and programs of a few lines need no line of their own.
        let small: Set<String> = ["Sources/berthd", "Sources/containerd-shim-berth-v1"]
        expectNone(
            modules.subtracting(small).filter { !map.contains("`\($0)") }
                .map { "docs/architecture.md:1: error: '\($0)' is not on the map" })
    }

    @Test func `every decision is in the list and says its price`() {
        let decisions = repository.files(in: ["docs/decisions"], suffixes: [".md"])
        let list = repository.read("docs/decisions/README.md").joined(separator: "\n")
        expectNone(
            decisions.filter { !$0.path.hasSuffix("README.md") }.flatMap { page -> [String] in
                let name = page.path.split(separator: "/").last.map(String.init) ?? ""
                var problems: [String] = []
                if !list.contains("(\(name))") {
                    problems.append("\(page.path):1: error: not in docs/decisions/README.md")
                }
                for word in ["**Decision.**", "**Why.**", "**Price.**"] where !page.text.contains(word) {
                    problems.append("\(page.path):1: error: no \(word)")
                }
                return problems
            })
    }

    @Test func `scripts stop at the first error`() {
        let scripts = [
            "dev", "build", "build-init", "format", "generate-config", "install-packages", "quickstart", "test",
        ]
        expectNone(
            scripts.filter { name in
                let lines = repository.read("scripts/\(name)")
                return !lines.contains { $0.hasPrefix("set -eu") }
                    || access("\(repository.root)/scripts/\(name)", X_OK) != 0
            }.map { "scripts/\($0):1: error: no 'set -eu', or not executable" })
    }
}
