import BerthBase
import Testing

@Suite struct JSONCodingTests {
    private struct Inner: Codable, Hashable {
        var name: String
        var sizes: [UInt32]?
    }
    private enum Kind: String, Codable { case small, large }
    private struct Outer: Codable, Hashable {
        var count: Int64
        var ratio: Double
        var on: Bool
        var kind: Kind
        var inner: Inner?
        var list: [Inner]
        var labels: [String: String]
        var nested: [[Int8]]
    }

    private let value = Outer(
        count: -9_007_199_254_740_993, ratio: 0.5, on: true, kind: .large, inner: nil,
        list: [Inner(name: "a\"\\\n\u{1}é😀", sizes: [0, 4_294_967_295]), Inner(name: "", sizes: nil)],
        labels: ["k": "v"], nested: [[1, -2], []])

    private func decode<T: Decodable>(_ type: T.Type, _ text: String) throws -> T {
        try JSONValueDecoder().decode(type, from: Array(text.utf8))
    }

    @Test(arguments: [false, true]) func `what is encoded is decoded as it was`(pretty: Bool) throws {
        let bytes = try JSONValueEncoder().encode(value).encoded(pretty: pretty)
        #expect(try JSONValueDecoder().decode(Outer.self, from: bytes) == value)
    }

    @Test func `fields come in order, and a missing optional is left out`() throws {
        let text = String(decoding: try JSONValueEncoder().encode(Inner(name: "x")).encoded(), as: UTF8.self)
        #expect(text == #"{"name":"x"}"#)
        let pretty = JSONValue.object(["b": .array([]), "a": .array([.null])]).encoded(pretty: true)
        #expect(String(decoding: pretty, as: UTF8.self) == "{\n  \"a\": [\n    null\n  ],\n  \"b\": []\n}")
    }

    @Test(arguments: ["256", "-1", "1.5", "1e3"]) func `a number that does not fit is refused`(digits: String) {
        #expect(throws: DecodingError.self) { try decode([UInt8].self, "[\(digits)]") }
    }

    @Test func `whole numbers may be written with a point or an exponent`() throws {
        #expect(try decode([Int].self, "[2.0, 1e3, -5]") == [2, 1000, -5])
    }

    @Test func `an error names the place`() throws {
        let text = #"{"name":"x","sizes":[1,"two"]}"#
        do {
            _ = try decode(Inner.self, text)
            Issue.record("decoded")
        } catch DecodingError.typeMismatch(_, let context) {
            #expect(context.codingPath.map(\.stringValue) == ["sizes", "1"])
        }
        #expect(throws: DecodingError.self) { try decode(Inner.self, "{}") }
        #expect(throws: DecodingError.self) { try decode(Inner.self, #"{"name":null}"#) }
        #expect(throws: DecodingError.self) { try decode(Inner.self, "[]") }
    }

    @Test func `escapes and surrogate pairs are read`() throws {
        #expect(try decode([String].self, #"["\u00e9\ud83d\ude00\/\b\f\n\r\t\"\\x"]"#) == ["é😀/\u{8}\u{c}\n\r\t\"\\x"])
        for wrong in [#"["\ud83d"]"#, #"["\x"]"#, #"["\u12"]"#, "[\"a\nb\"]", #"["a"#] {
            #expect(throws: BerthError.self, "\(wrong)") { try decode([String].self, wrong) }
        }
    }

    @Test func `a document nested too deeply is refused`() {
        let depth = JSONValue.maxDepth + 1
        let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        #expect(throws: BerthError.self) { try JSONValue(parsing: Array(text.utf8)) }
    }
}
