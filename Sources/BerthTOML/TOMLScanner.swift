/// The characters of a document, with the place of the next one.
struct TOMLScanner {
    private let characters: [Unicode.Scalar]
    private let file: String
    private var at = 0
    private var line = 1
    private var column = 1

    init(_ text: String, file: String) {
        // CRLF is a newline like LF; a carriage return anywhere else stays and is refused as a control character.
        var all = Array(text.unicodeScalars)
        // A byte order mark says nothing about UTF-8.
        if all.first == "\u{FEFF}" { all.removeFirst() }
        characters = all.indices.filter { all[$0] != "\r" || $0 + 1 == all.count || all[$0 + 1] != "\n" }.map {
            all[$0]
        }
        self.file = file
    }

    var position: SourcePosition { SourcePosition(file: file, line: line, column: column) }
    var peek: Unicode.Scalar? { at < characters.count ? characters[at] : nil }

    func problem(_ message: String) -> TOMLProblem { TOMLProblem(position, message) }

    mutating func advance() {
        guard let scalar = peek else { return }
        at += 1
        if scalar == "\n" {
            line += 1
            column = 1
        } else {
            column += 1
        }
    }

    mutating func take(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard at + wanted.count <= characters.count, characters[at..<at + wanted.count].elementsEqual(wanted) else {
            return false
        }
        for _ in wanted { advance() }
        return true
    }

    /// Skips spaces and tabs.
    mutating func skipBlank() {
        while peek == " " || peek == "\t" { advance() }
    }

    /// Skips spaces, tabs, line ends and comments.
    mutating func skipLines() throws {
        while let next = peek {
            switch next {
            case " ", "\t", "\n": advance()
            case "#": try comment()
            default: return
            }
        }
    }

    /// Expects nothing more than a comment on this line.
    mutating func endOfLine(after what: String) throws {
        skipBlank()
        if peek == "#" { try comment() }
        guard peek == nil || peek == "\n" else { throw problem("unexpected text after the \(what)") }
    }

    private mutating func comment() throws {
        while let next = peek, next != "\n" {
            guard Self.isText(next) else { throw problem("a control character in a comment") }
            advance()
        }
    }

    /// Whether a character may stand in strings and comments; of the control characters only tab may.
    private static func isText(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "\t" || (scalar.value >= 0x20 && scalar.value != 0x7f)
    }

    mutating func key() throws -> String {
        if peek == "\"" || peek == "'" {
            let position = self.position
            guard !looking(at: "\"\"\""), !looking(at: "'''") else {
                throw TOMLProblem(position, "a key cannot be a multi-line string")
            }
            return try string()
        }
        var name = String.UnicodeScalarView()
        while let next = peek, Self.isBare(next) {
            name.append(next)
            advance()
        }
        guard !name.isEmpty else { throw problem("a key is missing") }
        return String(name)
    }

    private func looking(at text: String) -> Bool {
        var copy = self
        return copy.take(text)
    }

    private static func isBare(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "_", "-": true
        default: false
        }
    }

    /// One of the four kinds of strings.
    mutating func string() throws -> String {
        let start = position
        for (quote, literal) in [("\"\"\"", false), ("'''", true)] where take(quote) {
            _ = take("\n")
            return try body(until: quote, literal: literal, lines: true, start: start)
        }
        let quote = take("\"") ? "\"" : "'"
        if quote == "'" { advance() }
        return try body(until: quote, literal: quote == "'", lines: false, start: start)
    }

    private mutating func body(until quote: String, literal: Bool, lines: Bool, start: SourcePosition) throws -> String
    {
        var text = String.UnicodeScalarView()
        while let next = peek {
            if take(quote) {
                // Up to two more quotes belong to the text of a multi-line string.
                var extra = 0
                while lines, extra < 2, let mark = quote.unicodeScalars.first, peek == mark {
                    text.append(mark)
                    advance()
                    extra += 1
                }
                return String(text)
            }
            if next == "\n" && !lines { break }
            if next == "\\" && !literal {
                if let scalar = try escape(lines: lines) { text.append(scalar) }
                continue
            }
            guard next == "\n" || Self.isText(next) else {
                throw problem("a control character in a string")
            }
            text.append(next)
            advance()
        }
        throw TOMLProblem(start, "the string has no end")
    }

    /// The character of an escape; nil for a line end that is escaped away.
    private mutating func escape(lines: Bool) throws -> Unicode.Scalar? {
        let start = position
        advance()
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
            "b": "\u{8}", "t": "\t", "n": "\n", "f": "\u{c}", "r": "\r", "\"": "\"", "\\": "\\",
        ]
        guard let next = peek else { throw TOMLProblem(start, "the string has no end") }
        if let plain = simple[next] {
            advance()
            return plain
        }
        if next == "u" || next == "U" {
            advance()
            return try hexadecimal(digits: next == "u" ? 4 : 8, start)
        }
        if lines, next == "\n" || next == " " || next == "\t" {
            skipBlank()
            guard peek == "\n" else { throw TOMLProblem(start, "an unknown escape") }
            while let other = peek, other == "\n" || other == " " || other == "\t" { advance() }
            return nil
        }
        throw TOMLProblem(start, "an unknown escape '\\\(next)'")
    }

    private mutating func hexadecimal(digits: Int, _ start: SourcePosition) throws -> Unicode.Scalar {
        var text = ""
        while text.count < digits, let next = peek, next.properties.isASCIIHexDigit {
            text.unicodeScalars.append(next)
            advance()
        }
        guard text.count == digits, let value = UInt32(text, radix: 16), let scalar = Unicode.Scalar(value) else {
            throw TOMLProblem(start, "a Unicode escape needs \(digits) hex digits of a character")
        }
        return scalar
    }

    /// A number, boolean or date.
    mutating func scalar() throws -> TOMLNode.Value {
        let start = position
        var text = ""
        while let next = peek, next != ",", next != "]", next != "}", next != "#", next != "\n", next != "\t" {
            if next == " " && !Self.splitsDate(text, characters, at) { break }
            text.unicodeScalars.append(next)
            advance()
        }
        if text == "true" { return .boolean(true) }
        if text == "false" { return .boolean(false) }
        if let value = TOMLNumber.parse(text) { return value }
        if TOMLDate.isDate(text) { return .date(text) }
        if TOMLNumber.isTooLarge(text) { throw TOMLProblem(start, "'\(text)' does not fit into 64 bits") }
        throw TOMLProblem(start, "'\(text)' is no value; a string needs quotes")
    }

    /// A date may be followed by one space and a time.
    private static func splitsDate(_ text: String, _ all: [Unicode.Scalar], _ at: Int) -> Bool {
        text.utf8.count == 10 && TOMLDate.isDate(text) && at + 1 < all.count && ("0"..."9").contains(all[at + 1])
    }
}
