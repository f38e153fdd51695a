internal import Glibc

extension Timestamp {
    /// Reads an RFC 3339 time: `2026-11-23T21:22:03Z`, with a fraction of up to nine digits and an offset.
    ///
    /// Nil for anything else, and for years that nanoseconds since 1970 do not reach (before 1677, after 2261).
    public init?(rfc3339 text: String) {
        var rest = Array(text.utf8)[...]
        func digits(_ count: Int) -> Int? {
            guard rest.count >= count, rest.prefix(count).allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count).reduce(0) { $0 * 10 + Int($1 - 0x30) }
        }
        func take(_ marks: String) -> Bool {
            guard let first = rest.first, marks.utf8.contains(first) else { return false }
            rest = rest.dropFirst()
            return true
        }
        guard let year = digits(4), take("-"), let month = digits(2), take("-"), let day = digits(2), take("Tt "),
            let hour = digits(2), take(":"), let minute = digits(2), take(":"), let second = digits(2),
            (1678...2261).contains(year), (1...12).contains(month), hour < 24, minute < 60, second < 61
        else { return nil }
        var nanoseconds: Int64 = 0
        if take(".") {
            let fraction = rest.prefix { (0x30...0x39).contains($0) }
            guard !fraction.isEmpty else { return nil }
            for index in 0..<9 {
                let digit = index < fraction.count ? Int64(fraction[fraction.startIndex + index] - 0x30) : 0
                nanoseconds = nanoseconds * 10 + digit
            }
            rest = rest.dropFirst(fraction.count)
        }
        var offset: Int64 = 0
        if let sign = rest.first, sign == 0x2b || sign == 0x2d {
            rest = rest.dropFirst()
            guard let hours = digits(2), take(":"), let minutes = digits(2), hours < 24, minutes < 60 else {
                return nil
            }
            offset = Int64(hours * 3600 + minutes * 60) * (sign == 0x2b ? 1 : -1)
        } else if !take("Zz") {
            return nil
        }
        var parts = tm()
        parts.tm_year = Int32(year - 1900)
        (parts.tm_mon, parts.tm_mday) = (Int32(month - 1), Int32(day))
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (Int32(hour), Int32(minute), Int32(second))
        let seconds = Int64(timegm(&parts))
        // timegm makes a valid day of 30 February.
        guard rest.isEmpty, parts.tm_mday == Int32(day) || second == 60 else { return nil }
        self.init(nanoseconds: (seconds - offset) * 1_000_000_000 + nanoseconds)
    }
}
