internal import Glibc
internal import Synchronization

/// Named places at which a test may end the process at once, as a power cut or a `kill -9` would.
///
/// `BERTH_FAULT=runtime.after-clone` ends the process at the first hit of that point, `BERTH_FAULT=name:3` at the
/// third. Without the variable a hit costs one load: production code calls `FaultPoint.hit("…")` freely.
public enum FaultPoint {
    /// The exit status of a process that a fault point ended.
    public static let exitStatus: Int32 = 86

    private struct Armed: Sendable {
        let name: String
        let count: Int
    }

    private static let armed: Armed? = {
        guard let value = getenv("BERTH_FAULT") else { return nil }
        let text = String(cString: value)
        guard let colon = text.lastIndex(of: ":"), let count = Int(text[text.index(after: colon)...]) else {
            return text.isEmpty ? nil : Armed(name: text, count: 1)
        }
        return Armed(name: String(text[..<colon]), count: max(count, 1))
    }()

    private static let hits = Atomic<Int>(0)

    /// Ends the process here, without any clean-up, if this point is the armed one and its count is reached.
    public static func hit(_ name: StaticString) {
        guard let armed, armed.name == "\(name)" else { return }
        if hits.add(1, ordering: .relaxed).newValue == armed.count { _exit(exitStatus) }
    }
}
