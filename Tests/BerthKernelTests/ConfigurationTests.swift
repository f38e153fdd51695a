import BerthBase
import BerthKernel
import BerthTOML
import SystemPackage
import Testing

/// The file's own keys, its imports, and the exact words for each kind of mistake.
@Suite struct ConfigurationTests {
    let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    private func problems(_ text: String) -> [String] {
        do {
            _ = try Configuration(text: text, file: "c.toml")
            return []
        } catch { return (error as? TOMLProblems)?.all.map(\.description) ?? ["\(error)"] }
    }

    private func fileProblems(_ file: String) -> [String] {
        do {
            _ = try Configuration(file: file)
            return []
        } catch {
            let all = (error as? TOMLProblems)?.all.map(\.description) ?? ["\(error)"]
            return all.map { $0.replacing(folder.path + "/", with: "") }
        }
    }

    @Test func `a small file has the defaults`() throws {
        let configuration = try Configuration(text: "version = 1", file: "c.toml")
        #expect(configuration.root == "/var/lib/berth")
        #expect(configuration.state == "/run/berth")
        #expect(configuration.enable.isEmpty)
        #expect(configuration.log == LogSettings())
    }

    @Test(arguments: [
        ("", "c.toml:1:1: 'version = 1' is missing"),
        ("version = 2", "c.toml:1:11: version 2 is not known; this berthd reads 1"),
        ("version = 'x'", "c.toml:1:11: version \"x\" is not known; this berthd reads 1"),
        ("version = 1\nenabel = []", "c.toml:2:10: unknown key 'enabel'; did you mean 'enable'?"),
        ("version = 1\nsomething = []", "c.toml:2:13: unknown key 'something'"),
        ("version = 1\nroot = 'x'", "c.toml:2:8: 'root' must be an absolute path, not \"x\""),
        ("version = 1\nstate = 3", "c.toml:2:9: 'state' must be an absolute path, not 3"),
        ("version = 1\nroot = '/a/b/'\nstate = '/a/./b'", "c.toml:3:9: 'root' and 'state' must be two folders"),
        ("version = 1\nenable = 'x'", "c.toml:2:10: 'enable' must be an array of plugin IDs, not a string"),
        ("version = 1\nenable = ['x', 1]", "c.toml:2:16: 'enable' must hold plugin IDs, not an integer"),
        ("version = 1\nrequired = ['x']", "c.toml:2:13: required plugin 'x' is not in 'enable'"),
        ("version = 1\nlog = 1", "c.toml:2:7: 'log' must be a table, not an integer"),
        (
            "version = 1\nlog.level = 'loud'",
            "c.toml:2:13: 'log.level' is 'loud', none of trace, debug, info, notice, warning, error, critical"
        ),
        ("version = 1\nlog.format = 'xml'", "c.toml:2:14: 'log.format' is 'xml', none of text, json"),
        ("version = 1\nlog.levels = 'x'", "c.toml:2:14: unknown key 'log.levels'; did you mean 'level'?"),
        (
            "version = 1\n[log.plugins]\n'a.b' = 'x'",
            "c.toml:3:9: 'log.plugins.a.b' is 'x', none of trace, debug, info, notice, warning, error, critical"
        ),
        ("version = 1\nplugin = 1", "c.toml:2:10: 'plugin' must be a table, not an integer"),
        ("version = 1\nplugin.a = 1", "c.toml:2:12: 'plugin.a' must be a table of plugins, not an integer"),
        (
            "version = 1\n[proxy.snapshotter.nydus]\naddress = '/x'",
            "c.toml:2:1: 'proxy.snapshotter.nydus': this version has no proxy plugins; remove the table"
        ),
        ("version = 1\n[proxy]", "c.toml:2:1: 'proxy': this version has no proxy plugins; remove the table"),
        ("version = 1\nroot = ", "c.toml:2:8: a value is missing"),
    ])
    func `a mistake is told with its place`(_ text: String, _ message: String) {
        #expect(problems(text) == [message])
    }

    @Test func `all mistakes at once, in the order of the file`() {
        let text = "root = 'x'\nversion = 7\n[log]\nformat = 1\nlevel = 2\n[proxy.a.b]\n[proxy.a.c]\n"
        #expect(
            problems(text) == [
                "c.toml:1:8: 'root' must be an absolute path, not \"x\"",
                "c.toml:2:11: version 7 is not known; this berthd reads 1",
                "c.toml:4:10: 'log.format' must be a string, not an integer",
                "c.toml:5:9: 'log.level' must be a string, not an integer",
                "c.toml:6:1: 'proxy.a.b': this version has no proxy plugins; remove the table",
                "c.toml:7:1: 'proxy.a.c': this version has no proxy plugins; remove the table",
            ])
    }

    @Test func `the command line wins over the file`() throws {
        var configuration = try Configuration(text: "version = 1\nroot = '/a'", file: "c.toml")
        try configuration.override(root: "/x", state: nil)
        #expect(configuration.root == "/x")
        #expect(configuration.state == "/run/berth")
        #expect(configuration.overrides == ["root"])
        #expect(throws: OverrideProblem.self) { try configuration.override(root: "x", state: nil) }
        #expect(throws: OverrideProblem.self) { try configuration.override(root: "/x", state: "/x") }
    }

    @Test func `imports win over the file, later ones over earlier ones, patterns in the order of names`() throws {
        let main = try folder.write(
            "main.toml",
            "version = 1\nimports = ['conf.d/*.toml', 'last.toml']\nroot = '/main'\nstate = '/main-state'\n"
                + "enable = ['a.b']\n[plugin.x.y]\none = 1\ntwo = 1\nthree = 1")
        try folder.write("conf.d/10.toml", "root = '/ten'\n[plugin.x.y]\none = 10\ntwo = 10")
        try folder.write("conf.d/20.toml", "root = '/twenty'\nenable = ['c.d']\n[plugin.x.y]\ntwo = 20")
        try folder.write("conf.d/notes.txt", "not TOML")
        try folder.write("last.toml", "root = '/last'")
        let configuration = try Configuration(file: main)
        #expect(configuration.root == "/last")
        #expect(configuration.state == "/main-state")
        #expect(configuration.enable == ["c.d"], "an array is replaced")
        let table = configuration.plugins["x.y"]?.table
        #expect(["one", "two", "three"].map { table?[$0]?.integer } == [10, 20, 1], "tables merge key by key")
        #expect(
            configuration.files.map { $0.replacing(folder.path + "/", with: "") }
                == ["main.toml", "conf.d/10.toml", "conf.d/20.toml", "last.toml"])
        #expect(configuration.place(of: "plugin", "x", "y", "two")?.description == "\(folder.path)/conf.d/20.toml:4:7")
    }

    @Test func `imports of imports are relative to their own file`() throws {
        let main = try folder.write("main.toml", "version = 1\nimports = ['sub/a.toml']")
        try folder.write("sub/a.toml", "imports = ['b.toml']\nroot = '/a'")
        try folder.write("sub/b.toml", "root = '/b'")
        #expect(try Configuration(file: main).root == "/b")
    }

    @Test func `a pattern may find nothing, a path must exist`() throws {
        let main = try folder.write("main.toml", "version = 1\nimports = ['none/*.toml']")
        #expect(fileProblems(main).isEmpty)
        let other = try folder.write("other.toml", "version = 1\nimports = ['none.toml']")
        #expect(fileProblems(other) == ["other.toml:2:12: read 'none.toml': No such file or directory"])
        #expect(
            fileProblems(folder.path + "/gone.toml") == ["gone.toml:1:1: read 'gone.toml': No such file or directory"])
        #expect(fileProblems(folder.path) == ["\(folder.path):1:1: read '\(folder.path)': Is a directory"])
    }

    @Test func `imports in a circle are told with their path`() throws {
        let main = try folder.write("a.toml", "version = 1\nimports = ['b.toml']")
        try folder.write("b.toml", "imports = ['./c.toml']")
        try folder.write("c.toml", "imports = ['../\(folder.path.split(separator: "/").last ?? "")/b.toml']")
        let name = folder.path.split(separator: "/").last.map(String.init) ?? ""
        let found = fileProblems(main)
        #expect(found == ["./c.toml:1:12: imports go in a circle: b.toml → ./c.toml → ./../\(name)/b.toml"])
    }

    @Test func `the same file twice is no circle`() throws {
        let main = try folder.write("a.toml", "version = 1\nimports = ['b.toml', '*b.toml']")
        try folder.write("b.toml", "root = '/b'")
        #expect(fileProblems(main).isEmpty)
    }

    @Test func `every broken import is told`() throws {
        let main = try folder.write("a.toml", "version = 1\nimports = ['b.toml', 3, 'c.toml', 'd.toml']")
        try folder.write("b.toml", "root = ")
        try folder.write("c.toml", "imports = 'x'")
        try folder.write("d.toml", "root = '\u{1}'")
        #expect(
            fileProblems(main) == [
                "a.toml:2:22: 'imports' must hold paths, not an integer", "b.toml:1:8: a value is missing",
                "c.toml:1:11: 'imports' must be an array of paths, not a string",
                "d.toml:1:9: a control character in a string",
            ])
    }

    @Test func `files have a limit in number`() throws {
        for number in 0..<256 { try folder.write("d/\(number).toml", "") }
        let main = try folder.write("a.toml", "version = 1\nimports = ['d/*.toml']")
        let found = fileProblems(main)
        #expect(found.count == 1)
        #expect(found.first?.hasSuffix(".toml': more than 256 files") == true)
    }

    @Test func `files have a limit in size`() throws {
        let main = try folder.write("a.toml", "version = 1\n" + String(repeating: "#\n", count: 2 << 20))
        #expect(fileProblems(main) == ["a.toml:1:1: read 'a.toml': larger than 4 MiB"])
    }
}
