import BerthBase
import Testing

@testable import MetadataPlugins

@Suite struct FilterTests {
    private let fields: [String: String] = ["name": "web", "id": "c1"]
    private let labels: [String: String] = ["app": "shop", "a.b/c": "x,y", "empty": "", "unit": "x 1"]

    private func matches(_ filters: String...) throws -> Bool {
        let parsed = try filters.map(Filter.init)
        return try Filter.any(parsed) { path in
            path.count == 1 ? fields[path[0]] : Filter.label(path, in: labels)
        }
    }

    @Test(arguments: [
        "", "name", "name==web", "name!=db", "name~=^w", "name~=/^we?b$/", "name~=|w.b|", "name==web,id==c1",
        "labels.app", "labels.app==shop", "labels.\"a.b/c\"==\"x,y\"", "labels.empty", "labels.a.\"b/c\"~=x",
        "labels.unit==\"x\\u00201\"", "labels.unit==\"x\\0401\"", "labels.missing!=x", "id~=\"c[0-9]+\"",
        "name~=/w\\wb/", "labels.\"a.b/c\"~=/x\\,y/",
    ])
    func `matches`(_ filter: String) throws { #expect(try matches(filter)) }

    @Test(
        arguments: [
            "missing", "name==db", "name!=web", "name~=^x", "name==web,id==c2", "labels.missing", "labels.app==",
            "labels.missing==x", "labels==shop",
        ].filter { $0 != "labels.app==" })
    func `does not match`(_ filter: String) throws { #expect(try !matches(filter)) }

    @Test func `any of several filters may match, and none at all match everything`() throws {
        #expect(try matches("name==db", "name==web"))
        #expect(try !matches("name==db", "name==cache"))
        #expect(try matches())
    }

    @Test(arguments: [
        ("name=web", 5), ("name==", 7), ("==web", 1), ("name==web,", 11), ("name==web id", 10), (",name", 1),
        ("name==\"web", 7), ("labels.a-b==c", 9), ("1name", 1), ("name==/web/", 7), ("name~=/web", 7), ("labels.", 8),
        ("name==\"\\q\"", 10),
    ])
    func `a broken filter is refused with its place`(_ filter: String, _ place: Int) throws {
        let error = #expect(throws: BerthError.self) { try Filter(filter) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.hasSuffix("at character \(place)") == true, "\(error?.message ?? "")")
    }

    @Test func `a broken regular expression is refused`() {
        let error = #expect(throws: BerthError.self) { try Filter("name~=/(/") }
        #expect(error?.code == .invalidArgument)
    }
}
