/// Dates and times of TOML 1.0: those of RFC 3339, and their halves.
enum TOMLDate {
    /// Whether a text is a date, a time, or both, of a day and an hour that exist.
    static func isDate(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        if bytes.count == 10 { return isDay(bytes[...]) }
        if bytes.count > 2, bytes[2] == UInt8(ascii: ":") { return isTime(bytes[...]) }
        guard bytes.count > 11, [UInt8(ascii: "T"), UInt8(ascii: "t"), UInt8(ascii: " ")].contains(bytes[10]) else {
            return false
        }
        return isDay(bytes[..<10]) && isTime(withoutOffset(bytes[11...]) ?? [])
    }

    /// `1979-05-27`.
    private static func isDay(_ text: ArraySlice<UInt8>) -> Bool {
        let parts = text.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.map(\.count) == [4, 2, 2], let year = number(parts[0]), let month = number(parts[1]),
            let day = number(parts[2]), (1...12).contains(month)
        else { return false }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (1...days[month - 1]).contains(day)
    }

    /// `07:32:00`, `07:32:00.999`; second 60 is a leap second.
    private static func isTime(_ text: ArraySlice<UInt8>) -> Bool {
        let pieces = text.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        guard let clock = pieces.first, isClock(clock, parts: 3, limits: [23, 59, 60]) else { return false }
        return pieces.count == 1 || number(pieces[1]) != nil
    }

    private static func isClock(_ text: ArraySlice<UInt8>, parts count: Int, limits: [Int]) -> Bool {
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        return parts.count == count
            && zip(parts, limits).allSatisfy { part, limit in part.count == 2 && (number(part) ?? .max) <= limit }
    }

    /// The time before `Z` or `+07:00`; nil for an offset that is none.
    private static func withoutOffset(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        if text.last == UInt8(ascii: "Z") || text.last == UInt8(ascii: "z") { return text.dropLast() }
        guard let sign = text.lastIndex(where: { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") }) else {
            return text
        }
        return isClock(text[(sign + 1)...], parts: 2, limits: [23, 59]) ? text[..<sign] : nil
    }

    /// The value of one or more ASCII digits; past nine of them only that they are digits counts.
    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return digits.prefix(9).reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
}
