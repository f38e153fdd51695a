import BerthBase
import Testing

@Suite struct TimestampTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("1970-01-01T00:00:01.5Z", 1_500_000_000),
            ("2026-11-23T21:22:03.000000001Z", 1_795_468_923_000_000_001),
            ("2026-11-23T23:22:03+02:00", 1_795_468_923_000_000_000),
            ("2026-11-23T16:22:03.0-05:00", 1_795_468_923_000_000_000), ("1969-12-31T23:59:59Z", -1_000_000_000),
            ("2024-02-29T00:00:00z", 1_709_164_800_000_000_000),
            ("2026-11-23t21:22:03.1234567899Z", 1_795_468_923_123_456_789),
        ] as [(String, Int64)])
    func `an RFC 3339 time is read`(_ text: String, _ nanoseconds: Int64) {
        #expect(Timestamp(rfc3339: text)?.nanoseconds == nanoseconds)
    }

    @Test(arguments: [
        "", "2026-11-23", "2026-11-23T21:22:03", "2026-13-23T21:22:03Z", "2026-02-30T00:00:00Z", "2026-11-23T24:00:00Z",
        "2026-11-23T21:22:03.Z", "2026-11-23T21:22:03+0200", "2026-11-23T21:22:03Z ", "9999-01-01T00:00:00Z", "now",
        "+026-11-23T21:22:03Z",
    ])
    func `anything else is not`(_ text: String) { #expect(Timestamp(rfc3339: text) == nil) }

    @Test func `what is written is read`() {
        for nanoseconds in [Int64(0), 1, -1, 1_795_468_923_000_000_001, 951_782_400_999_999_999] {
            let time = Timestamp(nanoseconds: nanoseconds)
            #expect(Timestamp(rfc3339: time.rfc3339) == time)
        }
    }
}
