import BerthTOML
import Testing

/// Documents that are TOML 1.0, and what they mean, written as one inline table.
@Suite struct ValidDocumentTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let document: String
        let meaning: String
        var testDescription: String { name }
        init(_ name: String, _ document: String, _ meaning: String) {
            (self.name, self.document, self.meaning) = (name, document, meaning)
        }
    }

    static let keys: [Case] = [
        Case("nothing", "", "{}"),
        Case("only comments and blank lines", "# one\n\n  # two\t\n", "{}"),
        Case("a byte order mark", "\u{FEFF}a = 1", "{a = 1}"),
        Case("a bare key", "a-b_9 = 1", "{a-b_9 = 1}"),
        Case("a key of digits", "1234 = 'x'", "{1234 = \"x\"}"),
        Case("quoted keys", "\"a b\" = 1\n'c.d' = 2\n\"\" = 3", "{\"a b\" = 1, \"c.d\" = 2, \"\" = 3}"),
        Case("an escape in a key", "\"\\u00e9\" = 1", "{\"é\" = 1}"),
        Case("dotted keys", "a.b.c = 1\na.b.d = 2\na . e = 3", "{a = {b = {c = 1, d = 2}, e = 3}}"),
        Case("dotted keys that look like a number", "3.14 = 1", "{3 = {14 = 1}}"),
        Case("Windows line ends", "a = 1\r\nb = 2\r\n", "{a = 1, b = 2}"),
        Case("a comment behind a value", "a = 1 # one", "{a = 1}"),
        Case("tabs around", "\ta\t=\t1\t", "{a = 1}"),
        Case("no line end at the end", "a = 'x'", "{a = \"x\"}"),
    ]

    static let strings: [Case] = [
        Case("escapes", #"a = "\b\t\n\f\r\"\\\u0041\U0001F600""#, "{a = \"\\u0008\\t\\n\\u000c\\r\\\"\\\\A😀\"}"),
        Case("a literal string", #"a = 'C:\new "x"'"#, #"{a = "C:\\new \"x\""}"#),
        Case("an empty string", "a = ''\nb = \"\"", "{a = \"\", b = \"\"}"),
        Case("a multi-line string without its first line end", "a = \"\"\"\nx\ny\"\"\"", "{a = \"x\\ny\"}"),
        Case("an escaped line end", "a = \"\"\"x \\\n   \n  y\"\"\"", "{a = \"x y\"}"),
        Case("an escaped line end with spaces", "a = \"\"\"x\\  \n y\"\"\"", "{a = \"xy\"}"),
        Case("quotes inside a multi-line string", "a = \"\"\"\"x\"\"\"\"\"", "{a = \"\\\"x\\\"\\\"\"}"),
        Case("a multi-line literal", "a = '''\nx\\\n'y'''''", "{a = \"x\\\\\\n'y''\"}"),
        Case("empty multi-line strings", "a = \"\"\"\"\"\"\nb = ''''''", "{a = \"\", b = \"\"}"),
        Case("a hash in a string", "a = 'x # y'", "{a = \"x # y\"}"),
        Case("an escaped NUL", "a = \"\\u0000\"", "{a = \"\\u0000\"}"),
    ]

    static let numbers: [Case] = [
        Case("integers", "a = [0, -0, +7, 1_000, -9_2]", "{a = [0, 0, 7, 1000, -92]}"),
        Case(
            "the ends of 64 bits", "a = [9223372036854775807, -9223372036854775808]",
            "{a = [9223372036854775807, -9223372036854775808]}"),
        Case("other bases", "a = [0xDEAD_beef, 0o755, 0b1010, 0x00]", "{a = [3735928559, 493, 10, 0]}"),
        Case(
            "floats", "a = [1.0, -0.5, 1e3, 1.5E-2, 6.02e+2_3, 1_0.0_1]",
            "{a = [1.0, -0.5, 1000.0, 0.015, 6.02e+23, 10.01]}"),
        Case("floats that are no numbers", "a = [inf, -inf, +inf, nan, -nan]", "{a = [inf, -inf, inf, nan, nan]}"),
        Case("booleans", "a = true\nb = false", "{a = true, b = false}"),
        Case(
            "dates", "a = [1979-05-27, 2000-02-29, 07:32:00, 00:32:00.999]\nb = 1979-05-27 07:32:00",
            "{a = [1979-05-27, 2000-02-29, 07:32:00, 00:32:00.999], b = 1979-05-27 07:32:00}"),
        Case(
            "dates with offsets", "a = [1979-05-27T07:32:00Z, 1979-05-27t00:32:00.5-07:00]",
            "{a = [1979-05-27T07:32:00Z, 1979-05-27t00:32:00.5-07:00]}"),
    ]

    static let tables: [Case] = [
        Case("a header", "[a]\nb = 1\n[c]", "{a = {b = 1}, c = {}}"),
        Case("spaces in a header", "[ a . 'b.c' ] # why\nd = 1", "{a = {\"b.c\" = {d = 1}}}"),
        Case("a child before its parent", "[a.b]\nc = 1\n[a]\nd = 2", "{a = {b = {c = 1}, d = 2}}"),
        Case("a child of a dotted table", "[a]\nb.c = 1\n[a.b.d]\ne = 2", "{a = {b = {c = 1, d = {e = 2}}}}"),
        Case("tables out of order", "[a.b]\n[c]\n[a.d]", "{a = {b = {}, d = {}}, c = {}}"),
        Case("an array of tables", "[[a]]\nb = 1\n[[a]]\nb = 2", "{a = [{b = 1}, {b = 2}]}"),
        Case("tables below the last item", "[[a]]\n[a.b]\nc = 1\n[[a]]\n[[a.d]]", "{a = [{b = {c = 1}}, {d = [{}]}]}"),
        Case("an inline table", "a = {b = 1, c.d = 'x', \"e f\" = {}}", "{a = {b = 1, c = {d = \"x\"}, \"e f\" = {}}}"),
        Case("an array over lines", "a = [ # one\n  1,\n  2, # two\n]", "{a = [1, 2]}"),
        Case("mixed and nested arrays", "a = [[1, 'x'], [], [{b = 1}]]", "{a = [[1, \"x\"], [], [{b = 1}]]}"),
    ]

    @Test(arguments: keys + strings + numbers + tables)
    func `what is TOML is read`(_ test: Case) throws {
        let table = try TOMLParser.parse(test.document, file: "f.toml")
        #expect(TOMLNode(.table(table), at: SourcePosition(file: "f.toml", line: 1, column: 1)).text == test.meaning)
    }

    @Test func `every value knows its place`() throws {
        let table = try TOMLParser.parse("a = 1\n\n[b]\n  'ç' = ['x',\n 'y']\n  d.e = 2\n[[c]]\n", file: "f.toml")
        func place(_ path: String...) -> String? { table.node(at: path)?.position.description }
        #expect(place("a") == "f.toml:1:5")
        #expect(place("b") == "f.toml:3:1")
        #expect(place("b", "ç") == "f.toml:4:9")
        #expect(table.node(at: ["b", "ç"])?.array?.last?.position.description == "f.toml:5:2")
        #expect(place("b", "d", "e") == "f.toml:6:9")
        #expect(place("c") == "f.toml:7:1")
    }

    @Test func `columns count characters, not bytes`() throws {
        let table = try TOMLParser.parse("\"é\" = ['ß', 1]", file: "f.toml")
        #expect(table["é"]?.array?.last?.position.description == "f.toml:1:13")
        #expect(table["é"]?.position.description == "f.toml:1:7")
    }
}
