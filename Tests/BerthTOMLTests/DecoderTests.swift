import BerthTOML
import Testing

@Suite struct DecoderTests {
    struct Settings: Codable, Equatable {
        enum Mode: String, Codable, CaseIterable { case fast, safe }
        struct Mirror: Codable, Equatable {
            var host = "none"
            var port: UInt16 = 80
        }
        var mountOptions: [String] = []
        var plainHTTP = false
        var retryCount = 3
        var ratio = 0.5
        var mode = Mode.safe
        var mirror = Mirror()
        var mirrors: [Mirror] = []
        var labels: [String: String] = [:]
        var note: String?
    }
    /// A type that checks itself.
    struct Even: Codable, Equatable {
        struct Odd: Error, CustomStringConvertible { let description: String }
        let value: Int
        init(from decoder: any Decoder) throws {
            value = try Int(from: decoder)
            guard value.isMultiple(of: 2) else { throw Odd(description: "\(value) is odd") }
        }
    }
    struct Pair: Codable, Equatable {
        var even: Even
        var name: String
    }

    private func decode<T: Decodable>(_ type: T.Type, _ text: String, path: String = "") throws -> T {
        let place = SourcePosition(file: "f.toml", line: 1, column: 1)
        return try TOMLDecoder.decode(type, from: TOMLParser.parse(text, file: "f.toml"), at: place, path: path)
    }

    private func problems<T: Decodable>(_ type: T.Type, _ text: String, path: String = "") -> [String] {
        let found = #expect(throws: TOMLProblems.self) { try decode(type, text, path: path) }
        return found?.all.map(\.description) ?? []
    }

    static let whole = """
        mount_options = ["ro", "x"]
        plain_http = true
        retry_count = -4
        ratio = 2
        mode = "fast"
        labels = { "a.b" = "c", CamelCase = "kept" }
        note = "n"
        mirrors = [{ host = "h", port = 65535 }]
        [mirror]
        host = "m"
        port = 1
        """

    @Test func `a whole table becomes a value`() throws {
        let got = try decode(Settings.self, Self.whole)
        let mirror = Settings.Mirror(host: "h", port: 65535)
        #expect(
            got
                == Settings(
                    mountOptions: ["ro", "x"], plainHTTP: true, retryCount: -4, ratio: 2, mode: .fast,
                    mirror: Settings.Mirror(host: "m", port: 1), mirrors: [mirror],
                    labels: ["a.b": "c", "CamelCase": "kept"], note: "n"))
    }

    @Test func `what the encoder writes the decoder reads`() throws {
        let first = try decode(Settings.self, Self.whole)
        let place = SourcePosition(file: "default", line: 0, column: 0)
        let table = try TOMLEncoder.encode(first, at: place)
        let lines = table.keys.compactMap { key in table[key].map { "\(key) = \($0.text)" } }
        #expect(lines.count == 9)
        #expect(try decode(Settings.self, lines.joined(separator: "\n")) == first)
    }

    @Test func `an unknown key is a problem with a suggestion`() {
        #expect(
            problems(Settings.Mirror.self, "host = 'a'\nport = 1\nprot = 2")
                == ["f.toml:3:8: unknown key 'prot'; did you mean 'port'?"])
        #expect(
            problems(Settings.Mirror.self, "host = 'a'\nport = 1\nsomething_else = 2", path: "plugin.x.y")
                == ["f.toml:3:18: unknown key 'plugin.x.y.something_else'"])
    }

    @Test func `a camel-case key is not the snake-case one`() {
        #expect(
            problems(Settings.self, Self.whole.replacing("retry_count", with: "retry-count"))
                == [
                    "f.toml:1:1: key 'retry_count' is missing"
                ])
    }

    @Test func `every problem is found at once, in the order of the file`() {
        let text = Self.whole
            .replacing("plain_http = true", with: "plain_http = 1")
            .replacing("ratio = 2", with: "ratio = 'half'")
            .replacing("mode = \"fast\"", with: "mode = 'slow'")
            .replacing("[\"ro\", \"x\"]", with: "[\"ro\", 1]")
            .replacing("port = 65535", with: "port = 65536, prt = 1")
        #expect(
            problems(Settings.self, text) == [
                "f.toml:1:24: 'mount_options[1]' must be a string, not an integer",
                "f.toml:2:14: 'plain_http' must be true or false, not an integer",
                "f.toml:4:9: 'ratio' must be a number, not a string",
                "f.toml:5:8: 'mode' is 'slow', none of fast, safe",
                "f.toml:8:33: 'mirrors[0].port' is 65536, outside 0…65535",
                "f.toml:8:46: unknown key 'mirrors[0].prt'; did you mean 'port'?",
            ])
    }

    @Test func `a wrong kind of value is named`() {
        let text = { (line: String) in Self.whole.replacing("mirrors = [{ host = \"h\", port = 65535 }]", with: line) }
        let kinds = [
            "'x'": "a string", "1": "an integer", "1.0": "a float", "true": "a boolean", "1979-05-27": "a date",
        ]
        for (value, kind) in kinds {
            #expect(
                problems(Settings.self, text("mirrors = \(value)")) == [
                    "f.toml:8:11: 'mirrors' must be an array, not \(kind)"
                ])
            #expect(
                problems(Settings.self, text("mirrors = [\(value)]"))
                    == ["f.toml:8:12: 'mirrors[0]' must be a table, not \(kind)"])
        }
        #expect(
            problems(Settings.self, Self.whole.replacing("note = \"n\"", with: "note = ['n']"))
                == ["f.toml:7:8: 'note' must be a string, not an array"])
    }

    @Test func `a type's own refusal gets the place of its value`() {
        #expect(problems(Pair.self, "even = 3\nname = 'x'") == ["f.toml:1:8: 'even': 3 is odd"])
        #expect(
            problems(Pair.self, "even = 3\nname = 4") == ["f.toml:1:8: 'even': 3 is odd"],
            "what comes after a value that has no empty one is not guessed at")
    }

    @Test func `keys are properties in snake case`() {
        let names = [
            "root": "root", "mountOptions": "mount_options", "plainHTTP": "plain_http", "confDir": "conf_dir",
            "HTTPProxy": "http_proxy", "ipv4Only": "ipv4_only",
        ]
        for (property, key) in names { #expect(snakeCase(property) == key) }
    }

    @Test func `a suggestion is near, and ties go to the first in order`() {
        #expect(
            nearest(to: "snapshoter.overlay", among: ["snapshotter.overlay", "snapshotter.native"])
                == "snapshotter.overlay")
        #expect(nearest(to: "ab", among: ["ac", "aa"]) == "aa")
        #expect(nearest(to: "metrics", among: ["root", "state"]) == nil)
        #expect(nearest(to: "x", among: [String]()) == nil)
    }

    @Test func `merging puts tables together and replaces everything else`() throws {
        var base = try TOMLParser.parse("a = 1\nlist = [1, 2]\n[t]\nx = 1\ny = 1\n[u]", file: "base")
        base.merge(try TOMLParser.parse("list = [3]\nu = 5\nb = 2\n[t]\ny = 2\nz = 3", file: "over"))
        #expect(
            TOMLNode(.table(base), at: SourcePosition(file: "", line: 0, column: 0)).text
                == "{a = 1, list = [3], t = {x = 1, y = 2, z = 3}, u = 5, b = 2}")
        #expect(base.node(at: ["t", "x"])?.position.file == "base")
        #expect(base.node(at: ["t", "y"])?.position.file == "over")
    }
}
