import BerthTOML
import Testing

/// Documents that are no TOML 1.0, and the exact word about each.
@Suite struct InvalidDocumentTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let document: String
        let message: String
        var testDescription: String { message }
        init(_ document: String, _ message: String) { (self.document, self.message) = (document, message) }
    }

    static let keys: [Case] = [
        Case("= 1", "f.toml:1:1: a key is missing"),
        Case("a", "f.toml:1:2: '=' is missing after the key"),
        Case("a b = 1", "f.toml:1:3: '=' is missing after the key"),
        Case("a.", "f.toml:1:3: a key is missing"),
        Case("a..b = 1", "f.toml:1:3: a key is missing"),
        Case("é = 1", "f.toml:1:1: a key is missing"),
        Case("\"\"\"a\"\"\" = 1", "f.toml:1:1: a key cannot be a multi-line string"),
        Case("a = 1\na = 2", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:5"),
        Case("a = 1\n'a' = 2", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:5"),
        Case("a.b = 1\na.b = 2", "f.toml:2:1: 'b' is defined twice, first at f.toml:1:7"),
        Case("a = 1\na.b = 2", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:5"),
        Case("a = 1 b = 2", "f.toml:1:7: unexpected text after the value"),
        Case("a = 1 # x\u{1}", "f.toml:1:10: a control character in a comment"),
        Case("# a lone \r return", "f.toml:1:10: a control character in a comment"),
    ]

    static let strings: [Case] = [
        Case("a =", "f.toml:1:4: a value is missing"),
        Case("a = # x", "f.toml:1:5: a value is missing"),
        Case("a = x", "f.toml:1:5: 'x' is no value; a string needs quotes"),
        Case("a = 'x", "f.toml:1:5: the string has no end"),
        Case("a = \"x\ny\"", "f.toml:1:5: the string has no end"),
        Case("a = \"\"\"x\"\"", "f.toml:1:5: the string has no end"),
        Case("a = \"\\q\"", "f.toml:1:6: an unknown escape '\\q'"),
        Case("a = \"\\x41\"", "f.toml:1:6: an unknown escape '\\x'"),
        Case("a = \"\\u12\"", "f.toml:1:6: a Unicode escape needs 4 hex digits of a character"),
        Case("a = \"\\ud800\"", "f.toml:1:6: a Unicode escape needs 4 hex digits of a character"),
        Case("a = \"\\U00110000\"", "f.toml:1:6: a Unicode escape needs 8 hex digits of a character"),
        Case("a = \"x\u{0}\"", "f.toml:1:7: a control character in a string"),
        Case("a = 'x\u{7f}'", "f.toml:1:7: a control character in a string"),
        Case("a = \"\"\"x \\ y\"\"\"", "f.toml:1:10: an unknown escape"),
        Case("a = \"\"\"x\"\"\"\"\"\"", "f.toml:1:14: unexpected text after the value"),
    ]

    static let numbers: [Case] =
        [
            "01", "-01", "1_", "_1", "1__0", "+", "1.", ".5", "1.e3", "1e", "1e5.0", "1_e5", "1e_5", "1._5", "1_.5",
            "01.5", "0x", "0xG",
            "0x_1", "0x+1", "+0x1", "0b2", "0o8", "0X1", "١", "½", "Inf", "TRUE", "tru", "--1",
            "1979-13-01", "1979-02-29", "1979-05-32", "1979-5-27", "1979-05-00", "24:00:00", "12:60:00", "12:00",
            "12:00:00.",
            "1979-05-27T", "1979-05-27T25:00:00Z", "1979-05-27T07:32:00+25:00", "1979-05-27T07:32:00+7", "1979-05-27Z",
        ].map { Case("a = \($0)", "f.toml:1:5: '\($0)' is no value; a string needs quotes") }
        + [
            Case("a = 9223372036854775808", "f.toml:1:5: '9223372036854775808' does not fit into 64 bits"),
            Case("a = -9223372036854775809", "f.toml:1:5: '-9223372036854775809' does not fit into 64 bits"),
        ]

    static let tables: [Case] = [
        Case("[a", "f.toml:1:3: ']' is missing after the table's name"),
        Case("[]", "f.toml:1:2: a key is missing"),
        Case("[a]]", "f.toml:1:4: unexpected text after the table's name"),
        Case("[[a]", "f.toml:1:5: ']' is missing after the table's name"),
        Case("[ [a]]", "f.toml:1:3: a key is missing"),
        Case("[a] b = 1", "f.toml:1:5: unexpected text after the table's name"),
        Case("[a]\n[a]", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:1"),
        Case("a = 1\n[a]", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:5"),
        Case("a.b = 1\n[a]", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:1"),
        Case("[a]\nb.c = 1\n[a.b]", "f.toml:3:1: 'b' is defined twice, first at f.toml:2:1"),
        Case("[a.b.c]\nz = 9\n[a]\nb.c.t = 1", "f.toml:4:1: 'c' is defined twice, first at f.toml:1:1"),
        Case("[[a]]\n[a]", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:1"),
        Case("[a]\n[[a]]", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:1"),
        Case("a = []\n[[a]]", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:5"),
        Case("a = [{}]\n[a.b]", "f.toml:2:1: 'a' is no array of tables"),
        Case("a = {}\n[a.b]", "f.toml:2:1: 'a' is no table that can be extended"),
        Case("a = {b = 1}\na.c = 2", "f.toml:2:1: 'a' is defined twice, first at f.toml:1:5"),
        Case("a = {b = 1, b = 2}", "f.toml:1:13: 'b' is defined twice, first at f.toml:1:10"),
        Case("a = {b = 1,}", "f.toml:1:12: a key is missing"),
        Case("a = {b = 1\n}", "f.toml:1:11: ',' or '}' is missing in the inline table"),
        Case("a = {b = 1", "f.toml:1:11: ',' or '}' is missing in the inline table"),
        Case("a = [1 2]", "f.toml:1:8: ',' or ']' is missing in the array"),
        Case("a = [1,,2]", "f.toml:1:8: '' is no value; a string needs quotes"),
        Case("a = [1", "f.toml:1:7: ',' or ']' is missing in the array"),
        Case("a = ]", "f.toml:1:5: '' is no value; a string needs quotes"),
    ]

    @Test(arguments: keys + strings + numbers + tables)
    func `what is no TOML is refused with its place`(_ test: Case) {
        let problem = #expect(throws: TOMLProblem.self) { try TOMLParser.parse(test.document, file: "f.toml") }
        #expect(problem?.description == test.message)
    }

    @Test func `nesting has a limit`() {
        let deep = 64
        let arrays = "a = " + String(repeating: "[", count: deep + 1) + String(repeating: "]", count: deep + 1)
        let tables =
            "a = " + String(repeating: "{a = ", count: deep + 1) + "1" + String(repeating: "}", count: deep + 1)
        let names = Array(repeating: "a", count: deep + 1).joined(separator: ".")
        for (document, column) in [(arrays, 69), (tables, 325), ("\(names) = 1", 130), ("[\(names)]", 131)] {
            let problem = #expect(throws: TOMLProblem.self) { try TOMLParser.parse(document, file: "f.toml") }
            #expect(problem?.message == "nested deeper than 64")
            #expect(problem?.position.column == column)
        }
        let fits = "a = " + String(repeating: "[", count: deep) + String(repeating: "]", count: deep)
        #expect(throws: Never.self) { try TOMLParser.parse(fits, file: "f.toml") }
    }
}
