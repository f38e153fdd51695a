internal import BerthBase

/// `grpc-timeout`: at most eight digits and a unit. Source: gRPC over HTTP/2, "Timeout".
enum GRPCTimeout {
    private static let units: [UInt8: Duration] = [
        UInt8(ascii: "H"): .seconds(3600), UInt8(ascii: "M"): .seconds(60), UInt8(ascii: "S"): .seconds(1),
        UInt8(ascii: "m"): .milliseconds(1), UInt8(ascii: "u"): .microseconds(1),
        UInt8(ascii: "n"): .nanoseconds(1),
    ]

    /// The time a text stands for; nil if it is none.
    static func parse(_ text: some Collection<UInt8>) -> Duration? {
        guard (2...9).contains(text.count) else { return nil }
        var number = 0
        var unit: UInt8 = 0
        for (index, byte) in text.enumerated() {
            if index == text.count - 1 {
                unit = byte
            } else {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                number = number * 10 + Int(byte - UInt8(ascii: "0"))
            }
        }
        return units[unit].map { $0 * number }
    }

    /// The text of a time, rounded up to the unit that fits into eight digits.
    static func format(_ time: Duration) -> String {
        let (seconds, attoseconds) = max(time, .zero).components
        let (parts, largest) = (attoseconds / 1_000_000_000, Int64(99_999_999))
        if seconds == 0, parts / 1000 <= largest { return "\((parts + 999) / 1000)u" }
        if seconds < 90_000 { return "\(seconds * 1000 + (parts + 999_999) / 1_000_000)m" }
        return "\(min(seconds + (parts > 0 ? 1 : 0), largest))S"
    }
}

/// `grpc-message`: all but printable ASCII, and the percent sign, as `%XX`.
enum PercentText {
    private static let digits = Array("0123456789ABCDEF".utf8)

    static func encode(_ text: String) -> [UInt8] {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            if (0x20...0x7e).contains(byte) && byte != UInt8(ascii: "%") {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return encoded
    }

    /// The text again; what is no valid escape stays as it is.
    static func decode(_ encoded: [UInt8]) -> String {
        var bytes: [UInt8] = []
        var index = 0
        while index < encoded.count {
            if encoded[index] == UInt8(ascii: "%"), index + 2 < encoded.count,
                let high = digit(encoded[index + 1]), let low = digit(encoded[index + 2])
            {
                bytes.append(high << 4 | low)
                index += 3
            } else {
                bytes.append(encoded[index])
                index += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}

/// Which codes HTTP and HTTP/2 failures stand for where no `grpc-status` came. Source: gRPC's "HTTP to gRPC Status
/// Code Mapping" and "Errors" of gRPC over HTTP/2.
enum StatusMapping {
    static func code(ofHTTP status: Int) -> BerthError.Code {
        switch status {
        case 400: .internal
        case 401: .unauthenticated
        case 403: .permissionDenied
        case 404: .unimplemented
        case 429, 502, 503, 504: .unavailable
        default: .unknown
        }
    }

    static func code(ofReset error: UInt32) -> BerthError.Code {
        switch error {
        case 0x7: .unavailable  // REFUSED_STREAM
        case 0x8: .cancelled  // CANCEL
        case 0xb: .resourceExhausted  // ENHANCE_YOUR_CALM
        case 0xc: .permissionDenied  // INADEQUATE_SECURITY
        default: .internal
        }
    }
}
