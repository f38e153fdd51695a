internal import CBerthSystem
internal import Glibc
package import SystemPackage

/// What a descriptor is waited for, or is ready for. Source: epoll(7).
package struct Readiness: OptionSet, Sendable, Hashable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let input = Readiness(rawValue: 0x1)
    package static let output = Readiness(rawValue: 0x4)
    /// An error of the descriptor; always reported.
    package static let error = Readiness(rawValue: 0x8)
    /// The peer closed; always reported.
    package static let hangUp = Readiness(rawValue: 0x10)
}

/// An epoll instance.
package struct Poller: ~Copyable {
    private let epoll: OwnedFD
    /// The most descriptors one wait reports.
    package static let batch = 64

    package init() throws(Errno) { epoll = OwnedFD(try sys(berth_epoll_create())) }

    /// Waits for a descriptor from now on.
    package func add(_ fd: Int32, _ interest: Readiness) throws(Errno) {
        try sys(berth_epoll_control(epoll.rawValue, 1, fd, interest.rawValue))
    }

    /// Waits for something else.
    package func change(_ fd: Int32, _ interest: Readiness) throws(Errno) {
        try sys(berth_epoll_control(epoll.rawValue, 3, fd, interest.rawValue))
    }

    /// Forgets a descriptor; one that is not there is success.
    package func remove(_ fd: Int32) { _ = berth_epoll_control(epoll.rawValue, 2, fd, 0) }

    /// Waits at most `milliseconds`, without end if negative. An interruption by a signal is an empty answer.
    package func wait(_ milliseconds: Int32) throws(Errno) -> [(fd: Int32, ready: Readiness)] {
        var buffer = [berth_ready](repeating: berth_ready(), count: Poller.batch)
        // SAFETY: the buffer is as long as its count says.
        let count = unsafe berth_epoll_ready(epoll.rawValue, &buffer, Int32(Poller.batch), milliseconds)
        if count == -EINTR { return [] }
        return buffer.prefix(Int(try sys(count))).map { ($0.fd, Readiness(rawValue: $0.events)) }
    }
}

/// A wake-up from another thread.
package struct WakeUp: ~Copyable, Sendable {
    /// Readable while a wake-up is pending.
    package let descriptor: OwnedFD

    package init() throws(Errno) { descriptor = OwnedFD(try sys(berth_eventfd())) }

    /// Wakes who waits.
    package func call() { WakeUp.call(descriptor.rawValue) }

    /// Wakes who waits for a wake-up's descriptor.
    package static func call(_ descriptor: Int32) { berth_eventfd_add(descriptor) }

    /// Takes all pending wake-ups; their number.
    @discardableResult
    package func take() -> Int64 { berth_eventfd_take(descriptor.rawValue) }
}

/// Stream sockets in the file system, for one user only.
package enum LocalSocket {
    /// Listens at a path; the file has mode 0600.
    ///
    /// - Throws: `addressInUse` if there is such a file.
    package static func listen(at path: String, backlog: Int32) throws(Errno) -> OwnedFD {
        // SAFETY: the string lives through the call.
        OwnedFD(try sys(unsafe berth_listen_stream(path, backlog)))
    }

    /// The next waiting client of our own user, not blocking; nil if there is none. Others are turned away.
    package static func accept(_ listener: Int32) throws(Errno) -> OwnedFD? {
        let result = berth_accept_own(listener)
        if result == -EAGAIN || result == -EACCES || result == -ECONNABORTED || result == -EINTR { return nil }
        return OwnedFD(try sys(result))
    }

    /// Makes reads and writes return at once.
    package static func setNonblocking(_ fd: Int32) throws(Errno) { try sys(berth_set_nonblocking(fd)) }

    /// Sends what fits; nil if nothing fits now.
    package static func send(_ bytes: ArraySlice<UInt8>, on fd: Int32) throws(Errno) -> Int? {
        // SAFETY: the buffer is as long as its count says.
        let count = unsafe bytes.withUnsafeBytes { unsafe berth_send_stream(fd, $0.baseAddress, $0.count) }
        if count == -Int(EAGAIN) || count == -Int(EINTR) { return nil }
        if count < 0 { throw Errno(rawValue: Int32(-count)) }
        return count
    }

    /// Reads what is there, at most `limit` bytes; nil if nothing is there now, empty at the end.
    package static func receive(_ fd: Int32, limit: Int) throws(Errno) -> [UInt8]? {
        var failure: Int32 = 0
        // SAFETY: the buffer is as long as its count says, and what was read is counted.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            let result = unsafe read(fd, buffer.baseAddress, buffer.count)
            if result < 0 { failure = errno }
            count = max(0, result)
        }
        if failure == EAGAIN || failure == EINTR { return nil }
        if failure != 0 { throw Errno(rawValue: failure) }
        return bytes
    }
}
