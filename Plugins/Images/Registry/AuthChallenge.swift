internal import BerthBase

/// What a server asks for in `WWW-Authenticate` (RFC 7235, section 4.1). Pure.
enum AuthChallenge: Sendable, Hashable {
    case basic
    case bearer(realm: String, service: String, scope: String)

    /// The most parameters read of one header.
    private static let maxParameters = 32

    /// The best challenge of the headers: a token rather than a password at every request.
    static func best(of headers: [String]) -> AuthChallenge? {
        let all = headers.flatMap { parse($0) }
        return all.first { if case .bearer = $0 { true } else { false } } ?? all.first
    }

    /// The challenges of one header.
    static func parse(_ header: String) -> [AuthChallenge] {
        var found: [AuthChallenge] = []
        var scheme = ""
        var parameters: [String: String] = [:]
        func finish() {
            switch scheme.lowercased() {
            case "basic": found.append(.basic)
            case "bearer":
                guard let realm = parameters["realm"] else { return }
                found.append(
                    .bearer(realm: realm, service: parameters["service"] ?? "", scope: parameters["scope"] ?? ""))
            default: break
            }
        }
        var rest = Substring(header)
        while true {
            rest = rest.drop { $0 == " " || $0 == "," || $0 == "\t" }
            guard !rest.isEmpty, parameters.count < maxParameters else { break }
            let word = rest.prefix { $0 != " " && $0 != "=" && $0 != "," }
            rest = rest[word.endIndex...]
            if rest.first == "=" {
                rest.removeFirst()
                parameters[word.lowercased()] = value(&rest)
            } else {
                if !scheme.isEmpty { finish() }
                (scheme, parameters) = (String(word), [:])
                guard !word.isEmpty else { break }
            }
        }
        if !scheme.isEmpty { finish() }
        return found
    }

    private static func value(_ rest: inout Substring) -> String {
        guard rest.first == "\"" else {
            let word = rest.prefix { $0 != "," && $0 != " " }
            rest = rest[word.endIndex...]
            return String(word)
        }
        rest.removeFirst()
        var text = ""
        while let character = rest.popFirst(), character != "\"" {
            text.append(character == "\\" ? rest.popFirst() ?? "\\" : character)
        }
        return text
    }
}
