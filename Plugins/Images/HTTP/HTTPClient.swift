internal import BerthBase
internal import BerthSystem
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Performs requests on threads of their own, with connections that are kept for the next one.
final class HTTPClient: Sendable {
    /// The most transfers at once in the daemon; more wait.
    static let lane = Blocking.Lane("registry", width: 48)
    /// The most idle handles kept; each holds half a megabyte and a connection.
    static let maxIdle = 16
    /// How long an idle handle is kept.
    static let maxIdleTime: Duration = .seconds(90)

    private struct Key: Hashable {
        let origin: String
        let tls: TLSSettings
    }

    private struct Idle {
        let key: Key
        let handle: CurlHandle
        let since: ContinuousClock.Instant
    }

    private let idle = Mutex<[Idle]>([])
    private let closed = Atomic<Bool>(false)

    /// Whether a transfer was given up.
    private final class Flag: Sendable {
        let isSet = Atomic<Bool>(false)
    }

    /// Performs a request; cancelling the task ends it within a second.
    ///
    /// - Throws: `TransferFailure`, `CancellationError`, or what the sink throws.
    func perform(_ request: HTTPRequest, into sink: any BodySink) async throws -> HTTPAnswer {
        let flag = Flag()
        return try await withTaskCancellationHandler {
            try await Blocking.run(on: Self.lane) {
                let key = Key(origin: request.address.origin, tls: request.tls)
                let handle = try self.take(key)
                let answer = try handle.perform(request, sink, flag.isSet)
                self.keep(handle, key)
                return answer
            }
        } onCancel: {
            flag.isSet.store(true, ordering: .relaxed)
        }
    }

    private func take(_ key: Key) throws -> CurlHandle {
        let found = idle.withLock { idle -> CurlHandle? in
            Self.expire(&idle)
            // The latest one: its connection is the likeliest to be alive.
            guard let index = idle.lastIndex(where: { $0.key == key }) else { return nil }
            return idle.remove(at: index).handle
        }
        return try found ?? CurlHandle()
    }

    private func keep(_ handle: CurlHandle, _ key: Key) {
        guard !closed.load(ordering: .relaxed) else { return }
        idle.withLock { idle in
            Self.expire(&idle)
            idle.append(Idle(key: key, handle: handle, since: .now))
            if idle.count > Self.maxIdle { idle.removeFirst() }
        }
    }

    private static func expire(_ idle: inout [Idle]) {
        let now = ContinuousClock.now
        idle.removeAll { now - $0.since > maxIdleTime }
    }

    /// Drops handles that have been idle too long.
    func expireIdle() { idle.withLock { Self.expire(&$0) } }

    /// Drops all idle connections, for good.
    func close() {
        closed.store(true, ordering: .relaxed)
        idle.withLock { $0.removeAll() }
    }
}

/// Files of certificate authorities.
enum TrustFiles {
    /// The longest file.
    static let maxSize = 4 << 20

    static func read(_ path: String) throws -> [UInt8] {
        try attempting("read '\(path)'") { () throws(Errno) in try Files.read(path, limit: maxSize) }
    }
}
